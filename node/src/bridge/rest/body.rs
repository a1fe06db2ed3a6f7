//! The body of a request: JSON, plain or gzip, no larger and no slower than it may be, and each refusal with the field
//! that is wrong.

use std::io::Read;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
};
use actix_web::web::Payload;
use bytes::BytesMut;
use flate2::bufread::MultiGzDecoder;
use futures::StreamExt;
use selvedge_protocol::{ErrorCode, Failure};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time::timeout;

use crate::bridge::problem::Problem;

/// The value of a JSON body. One that is `None` was empty.
pub(crate) async fn json<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
    bytes_max: usize,
) -> Result<Option<T>, Problem> {
    let is_gzip = is_gzip(request)?;
    let body = bytes(request, payload, bytes_max).await?;
    if body.is_empty() {
        return Ok(None);
    }
    is_json(request)?;
    let body = match is_gzip {
        true => inflate(&body, bytes_max)?,
        false => body.into(),
    };
    read(&body).map(Some)
}

/// The same, where there has to be one.
pub(crate) async fn required<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
    bytes_max: usize,
) -> Result<T, Problem> {
    let body = json(request, payload, bytes_max).await?;
    body.ok_or_else(|| {
        let failure = Failure::field(
            ErrorCode::Malformed,
            "body",
            "the body is empty; send a JSON object",
        );
        failure.into()
    })
}

/// A body as it is, of whatever type.
pub(crate) async fn bytes(
    request: &HttpRequest,
    payload: Payload,
    bytes_max: usize,
) -> Result<BytesMut, Problem> {
    match timeout(BODY_TIME_MAX, collect(request, payload, bytes_max)).await {
        Ok(body) => body,
        Err(_) => {
            let message = format!(
                "the body did not come within {} s; send it again, or less of it",
                BODY_TIME_MAX.as_secs()
            );
            let failure = Failure::field(ErrorCode::DeadlineExceeded, "body", message);
            Err(Problem::with_status(failure, StatusCode::REQUEST_TIMEOUT))
        }
    }
}

/// JSON text as a value; what does not fit is named.
fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut deserializer);
    let value = read.map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            Category::Syntax | Category::Eof | Category::Io => malformed(&error),
            Category::Data => Failure::field(
                ErrorCode::Invalid,
                field(&path, &error.to_string()),
                error.to_string(),
            ),
        }
    })?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Failure {
    let message = format!("the body is no JSON: {error}");
    Failure::field(ErrorCode::Malformed, "body", message)
}

/// The field that an error is about: serde names one that is unknown, missing or twice in its message alone.
fn field(path: &str, message: &str) -> String {
    let named = ["unknown field `", "missing field `", "duplicate field `"]
        .into_iter()
        .find_map(|start| message.strip_prefix(start))
        .and_then(|rest| rest.split_once('`'))
        .map(|(name, _)| name.chars().take(FIELD_CHARS_MAX).collect::<String>());
    match (path, named) {
        ("." | "", None) => "body".to_owned(),
        (path, None) => path.to_owned(),
        ("." | "", Some(name)) => name,
        // The path of an unknown field ends with it already.
        (path, Some(name)) if path == name || path.ends_with(&format!(".{name}")) => {
            path.to_owned()
        }
        (path, Some(name)) => format!("{path}.{name}"),
    }
}

async fn collect(
    request: &HttpRequest,
    mut payload: Payload,
    bytes_max: usize,
) -> Result<BytesMut, Problem> {
    let stated = request.headers().get(CONTENT_LENGTH);
    let stated = stated.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large(bytes_max));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            let message = format!("the body broke off: {error}");
            Failure::field(ErrorCode::Malformed, "body", message)
        })?;
        if body.len() + chunk.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What was compressed, as long as it is no more than may come plain.
fn inflate(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::new();
    let bound = bytes_max as u64 + 1;
    let read = MultiGzDecoder::new(body).take(bound).read_to_end(&mut text);
    if let Err(error) = read {
        let message = format!("the body is no gzip: {error}");
        return Err(Failure::field(ErrorCode::Malformed, "body", message).into());
    }
    match text.len() > bytes_max {
        true => Err(too_large(bytes_max)),
        false => Ok(text),
    }
}

fn too_large(bytes_max: usize) -> Problem {
    let message = format!("the body is over {bytes_max} bytes; send less");
    Failure::field(ErrorCode::TooLarge, "body", message).into()
}

fn is_gzip(request: &HttpRequest) -> Result<bool, Problem> {
    match text(request, &CONTENT_ENCODING).as_deref() {
        None | Some("identity") => Ok(false),
        Some("gzip" | "x-gzip") => Ok(true),
        Some(_) => {
            let message = "bodies are taken as they are or as gzip";
            let problem = unsupported("Content-Encoding", message);
            Err(problem.header(ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity")))
        }
    }
}

fn is_json(request: &HttpRequest) -> Result<(), Problem> {
    let given = text(request, &CONTENT_TYPE);
    let essence = given
        .as_deref()
        .map(|it| it.split(';').next().unwrap_or("").trim());
    match essence {
        Some("application/json") => Ok(()),
        Some(_) | None => Err(unsupported(
            "Content-Type",
            "bodies are JSON; send them as application/json",
        )),
    }
}

fn unsupported(header: &str, message: &str) -> Problem {
    let failure = Failure::field(ErrorCode::Invalid, header, message);
    Problem::with_status(failure, StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

fn text(request: &HttpRequest, name: &HeaderName) -> Option<String> {
    let value = request.headers().get(name)?;
    Some(value.to_str().unwrap_or("?").trim().to_ascii_lowercase())
}

/// How long a whole body may take: the largest at three and a half megabits a second. Slower ones hold memory for
/// nothing.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// As much of a foreign name as tells which it is.
const FIELD_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use actix_web::FromRequest;
    use actix_web::dev;
    use actix_web::test::TestRequest;
    use bytes::Bytes;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures::stream;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[allow(dead_code, reason = "only whether it reads is asked")]
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[allow(dead_code, reason = "only whether it reads is asked")]
        count: u32,
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, field) in [
            (r#"{"inner":{"count":-1}}"#, "inner.count"),
            (r#"{"inner":{"count":1,"more":2}}"#, "inner.more"),
            (r#"{"inner":{}}"#, "inner.count"),
            (r#"{"outer":1}"#, "outer"),
            (r#"{}"#, "inner"),
            (r#"{"inner":{"count":1},"inner":{"count":1}}"#, "inner"),
            (r#"{"#, "body"),
            (r#"{"inner":{"count":1}} 2"#, "body"),
            ("7", "body"),
        ] {
            let problem = read::<Outer>(text.as_bytes()).unwrap_err();
            assert_eq!(problem.field(), Some(field), "{text}");
        }
    }

    #[test]
    fn inflation_ends_at_its_bound() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 4_096);
        assert_eq!(inflate(&bomb, 1 << 20).unwrap().len(), 1 << 20);
        let refused = inflate(&bomb, (1 << 20) - 1).unwrap_err();
        assert!(refused.to_string().contains("over"), "{refused}");
        assert!(inflate(b"no gzip at all", 100).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_not_waited_for_without_end() {
        let request = TestRequest::default().to_http_request();
        // A byte a second, without end.
        let slow = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok(Bytes::from_static(b" ")), ()))
        });
        let mut slow = dev::Payload::Stream {
            payload: slow.boxed_local(),
        };
        let payload = Payload::from_request(&request, &mut slow).await.unwrap();
        let began = tokio::time::Instant::now();
        let refused = required::<Outer>(&request, payload, 100).await.unwrap_err();
        assert_eq!(began.elapsed(), BODY_TIME_MAX);
        assert_eq!(refused.field(), Some("body"));
        let answer = actix_web::ResponseError::status_code(&refused);
        assert_eq!(answer, StatusCode::REQUEST_TIMEOUT);
    }
}
