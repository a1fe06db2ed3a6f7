//! What the bridge is measured against: the bare libraries, in a process of their own.

use actix_web::web::{self, Bytes, Data, Payload};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use actix_ws::{Message, Session};
use futures::StreamExt;
use parking_lot::Mutex;

use crate::Failed;

/// Everybody who is connected to `/ws`, for the fan-out.
type Everybody = Data<Mutex<Vec<Session>>>;

/// Serves at a free port of this machine, prints it, and ends with the process that reads it.
pub(crate) fn serve(threads: usize, state: String) -> Result<(), Failed> {
    let state = Data::new(state);
    let everybody: Everybody = Data::new(Mutex::new(Vec::new()));
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(Data::clone(&everybody))
                .app_data(Data::clone(&state))
                .route("/ws", web::get().to(socket))
                .route("/state", web::get().to(shown))
                .route("/tell", web::post().to(tell))
        })
        .workers(threads)
        .bind("127.0.0.1:0")?;
        for address in server.addrs() {
            println!("{address}");
        }
        Ok(server.run().await?)
    })
}

/// Echoes.
async fn socket(
    request: HttpRequest,
    body: Payload,
    everybody: Everybody,
) -> Result<HttpResponse, actix_web::Error> {
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    everybody.lock().push(session.clone());
    actix_web::rt::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            let sent = match message {
                Message::Text(text) => session.text(text).await,
                Message::Binary(bytes) => session.binary(bytes).await,
                _ => Ok(()),
            };
            if sent.is_err() {
                return;
            }
        }
    });
    Ok(response)
}

/// The same bytes as the state of the actor that is asked for.
async fn shown(state: Data<String>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body((**state).clone())
}

/// Sends the bytes to everybody.
async fn tell(bytes: Bytes, everybody: Everybody) -> HttpResponse {
    let sessions = everybody.lock().clone();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let text = bytestring::ByteString::from(text);
    for mut session in sessions {
        if session.text(text.clone()).await.is_err() {
            continue;
        }
    }
    HttpResponse::NoContent().finish()
}
