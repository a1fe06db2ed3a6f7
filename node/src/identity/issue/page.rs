//! What a page to log in at carries, so that what comes back is what it was made for: the cluster's own word for the request
//! that the page was shown for, for a while.
//!
//! ```text
//! until, ms (8) · proof of it and the request (32), in base64url
//! ```
//!
//! It is no secret and opens nothing: whoever asks for a page gets one.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use selvedge_protocol::limits::LOGIN_PAGE_MS_MAX;

use crate::identity::issue::logins::Logins;
use crate::identity::issue::secrets::Secrets;

/// Why a page that came back does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageWrong {
    /// It was open for too long.
    Late,
    /// It was not made here for this request.
    Other,
}

impl Logins {
    /// What a page carries that is shown for this request now.
    pub fn page_for(&self, request: &[u8]) -> String {
        let parts = self.parts();
        let now_ms = parts.directory.clock().wall_ms();
        made(&parts.secrets, request, now_ms)
    }

    /// That a page was shown for this request a while ago.
    pub fn check_page(&self, carried: &str, request: &[u8]) -> Result<(), PageWrong> {
        let parts = self.parts();
        let now_ms = parts.directory.clock().wall_ms();
        check(&parts.secrets, carried, request, now_ms)
    }
}

fn made(secrets: &Secrets, request: &[u8], now_ms: u64) -> String {
    let until = now_ms.saturating_add(LOGIN_PAGE_MS_MAX).to_be_bytes();
    let proof = secrets.proof(&[LABEL, &until, request]);
    URL_SAFE_NO_PAD.encode([until.as_slice(), proof.as_bytes()].concat())
}

fn check(secrets: &Secrets, carried: &str, request: &[u8], now_ms: u64) -> Result<(), PageWrong> {
    let bytes = URL_SAFE_NO_PAD
        .decode(carried)
        .map_err(|_| PageWrong::Other)?;
    let Some((until, proof)) = bytes.split_first_chunk::<8>() else {
        return Err(PageWrong::Other);
    };
    let expected = secrets.proof(&[LABEL, until, request]);
    verify_slices_are_equal(expected.as_bytes(), proof).map_err(|_| PageWrong::Other)?;
    match now_ms < u64::from_be_bytes(*until) {
        true => Ok(()),
        false => Err(PageWrong::Late),
    }
}

const LABEL: &[u8] = b"login page";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_good_for_its_request_and_its_while() {
        let secrets = Secrets::of_cluster(&[1; 32]);
        let carried = made(&secrets, b"request", 1_000);
        let check =
            |carried: &str, request: &[u8], now_ms| check(&secrets, carried, request, now_ms);
        let last_ms = 1_000 + LOGIN_PAGE_MS_MAX - 1;
        assert_eq!(check(&carried, b"request", last_ms), Ok(()));
        let late = check(&carried, b"request", last_ms + 1);
        assert_eq!(late, Err(PageWrong::Late));
        assert_eq!(check(&carried, b"request2", 1_000), Err(PageWrong::Other));
        let foreign = made(&Secrets::of_cluster(&[2; 32]), b"request", 1_000);
        let longer = made(&secrets, b"request", 9_000);
        // Another's time with its proof.
        let patched = format!("{}{}", &longer[..11], &carried[11..]);
        for wrong in ["", "AAAA", "?", foreign.as_str(), patched.as_str()] {
            assert_eq!(check(wrong, b"request", 1_000), Err(PageWrong::Other));
        }
    }
}
