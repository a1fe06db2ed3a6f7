//! Rotation and outage of an issuer, in simulated time, with everything between a token and a fetch.

use std::time::Duration;

use futures::future::join_all;
use selvedge_protocol::limits::{
    KEYS_AGE_MS_DEFAULT, KEYS_FETCH_MS_MAX, KEYS_KEPT_MS, KEYS_RETRY_MS, KEYS_UNKNOWN_MS,
};
use tokio::time::{Instant, advance};

use crate::identity::jwt::tests::signer::Signer;
use crate::identity::jwt::tests::{Desk, good, issuers, one_key, verify};
use crate::identity::jwt::{Fault, Refused};

const UNKNOWN: Refused = Refused::Invalid(Fault::UnknownKey);

async fn pass(ms: u64) {
    advance(Duration::from_millis(ms)).await;
}

/// Lets what was spawned run until nothing is left that needs no time.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_rotated_in_and_the_old_one_out() {
    let (old, desk, issuers) = one_key("ES256");
    let new = Signer::new("EdDSA");
    let [old_token, new_token] = [old.token("1", &good()), new.token("2", &good())];
    assert!(verify(&issuers, &old_token).await.is_ok());
    assert_eq!(verify(&issuers, &new_token).await.unwrap_err(), UNKNOWN);
    // Both, as issuers do it: the new key is found at its first token.
    desk.publish(&[old.jwk("1"), new.jwk("2")]);
    pass(KEYS_UNKNOWN_MS).await;
    assert!(verify(&issuers, &new_token).await.is_ok());
    assert!(verify(&issuers, &old_token).await.is_ok());
    assert_eq!(desk.fetches(), 2);
    // The old one is gone when the keys were fetched anew, at the latest at the end of their age.
    desk.publish(&[new.jwk("2")]);
    assert!(verify(&issuers, &old_token).await.is_ok());
    pass(KEYS_AGE_MS_DEFAULT).await;
    assert_eq!(verify(&issuers, &old_token).await.unwrap_err(), UNKNOWN);
    assert!(verify(&issuers, &new_token).await.is_ok());
    assert_eq!(desk.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_replaced_under_its_own_id() {
    let (old, desk, issuers) = one_key("EdDSA");
    let new = Signer::new("EdDSA");
    assert!(verify(&issuers, &old.token("1", &good())).await.is_ok());
    desk.publish(&[new.jwk("1")]);
    pass(KEYS_AGE_MS_DEFAULT / 4 * 3).await;
    // Nobody waits for what is fetched before it has to be.
    assert!(verify(&issuers, &old.token("1", &good())).await.is_ok());
    settle().await;
    assert_eq!(desk.fetches(), 2);
    let refused = verify(&issuers, &old.token("1", &good()))
        .await
        .unwrap_err();
    assert_eq!(refused, Refused::Invalid(Fault::Signature));
    assert!(verify(&issuers, &new.token("1", &good())).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_tokens_makes_one_fetch() {
    let (signer, desk, issuers) = one_key("EdDSA");
    let token = signer.token("1", &good());
    let all = join_all((0..100).map(|_| verify(&issuers, &token))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(desk.fetches(), 1);
    // Invented keys make one a minute.
    let start = Instant::now();
    for round in 0..300 {
        let token = signer.token(&format!("invented-{round}"), &good());
        assert_eq!(verify(&issuers, &token).await.unwrap_err(), UNKNOWN);
        pass(1_000).await;
    }
    assert_eq!(start.elapsed().as_secs(), 300);
    assert_eq!(desk.fetches(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_noticed_for_an_hour() {
    let (signer, desk, issuers) = one_key("EdDSA");
    let token = signer.token("1", &good());
    assert!(verify(&issuers, &token).await.is_ok());
    desk.close();
    let mut passed_ms = 0;
    while passed_ms < KEYS_AGE_MS_DEFAULT + KEYS_KEPT_MS {
        assert!(verify(&issuers, &token).await.is_ok(), "{passed_ms}");
        settle().await;
        pass(KEYS_RETRY_MS).await;
        passed_ms += KEYS_RETRY_MS;
    }
    assert_eq!(
        verify(&issuers, &token).await.unwrap_err(),
        Refused::Unavailable
    );
    desk.publish(&[signer.jwk("1")]);
    pass(KEYS_RETRY_MS).await;
    assert!(verify(&issuers, &token).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_never_answers_holds_nobody_up_for_long() {
    let (signer, desk, issuers) = one_key("EdDSA");
    let token = signer.token("1", &good());
    desk.0.lock().hangs = true;
    let start = Instant::now();
    let all = join_all((0..100).map(|_| verify(&issuers, &token))).await;
    assert!(all.iter().all(|told| *told == Err(Refused::Unavailable)));
    assert_eq!(start.elapsed(), Duration::from_millis(KEYS_FETCH_MS_MAX));
    assert_eq!(desk.fetches(), 1);
    // Until it is asked again, the answer is there at once.
    assert_eq!(
        verify(&issuers, &token).await.unwrap_err(),
        Refused::Unavailable
    );
    assert_eq!(start.elapsed(), Duration::from_millis(KEYS_FETCH_MS_MAX));
    desk.0.lock().hangs = false;
    pass(KEYS_RETRY_MS).await;
    assert!(verify(&issuers, &token).await.is_ok());
    // With keys at hand, only the first one waits for it.
    desk.0.lock().hangs = true;
    pass(KEYS_AGE_MS_DEFAULT).await;
    let start = Instant::now();
    assert!(verify(&issuers, &token).await.is_ok());
    assert_eq!(start.elapsed(), Duration::from_millis(KEYS_FETCH_MS_MAX));
    assert!(verify(&issuers, &token).await.is_ok());
    pass(KEYS_RETRY_MS).await;
    assert!(verify(&issuers, &token).await.is_ok());
    assert_eq!(
        start.elapsed(),
        Duration::from_millis(KEYS_FETCH_MS_MAX + KEYS_RETRY_MS)
    );
}

#[tokio::test(start_paused = true)]
async fn one_who_gives_up_waiting_takes_nothing_from_the_others() {
    let (signer, desk, issuers) = one_key("EdDSA");
    let token = signer.token("1", &good());
    desk.0.lock().hangs = true;
    let limit = Duration::from_millis(KEYS_FETCH_MS_MAX / 2);
    let gave_up = tokio::time::timeout(limit, verify(&issuers, &token)).await;
    assert!(gave_up.is_err());
    assert_eq!(
        verify(&issuers, &token).await.unwrap_err(),
        Refused::Unavailable
    );
    assert_eq!(desk.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_set_of_keys_replaces_none() {
    let (signer, desk, issuers) = one_key("EdDSA");
    let token = signer.token("1", &good());
    assert!(verify(&issuers, &token).await.is_ok());
    for document in ["<html>Sign in</html>", "{}", "", r#"{"keys":[],"keys":[]}"#] {
        desk.0.lock().document = Some(document.to_owned());
        pass(KEYS_AGE_MS_DEFAULT / 4 * 3).await;
        assert!(verify(&issuers, &token).await.is_ok(), "{document}");
        settle().await;
    }
    assert_eq!(desk.fetches(), 5);
    // But an issuer that withdraws all its keys is believed.
    desk.publish(&[]);
    pass(KEYS_RETRY_MS).await;
    assert!(verify(&issuers, &token).await.is_ok());
    settle().await;
    assert_eq!(verify(&issuers, &token).await.unwrap_err(), UNKNOWN);
}

#[tokio::test]
async fn an_issuer_without_keys_at_the_start_is_unavailable() {
    let desk = Desk::new(&[]);
    desk.close();
    let issuers = issuers(&desk);
    let token = Signer::new("EdDSA").token("1", &good());
    assert_eq!(
        verify(&issuers, &token).await.unwrap_err(),
        Refused::Unavailable
    );
}
