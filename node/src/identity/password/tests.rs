//! Passwords against the rules, the hash's own vectors, and a clock and randomness of the test's.

use super::rules::{Unfit, check};
use super::*;
use selvedge_protocol::limits::PASSWORD_CHARS_MAX;

/// Fit for anybody.
const GOOD: &str = "vier Pferde kauen Heu";

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

async fn hash(passwords: &Passwords, text: &str) -> String {
    let turn = passwords.turn().await.unwrap();
    turn.hash(password(text)).await.unwrap().0
}

async fn verify(passwords: &Passwords, text: &str, stored: Option<&str>) -> Verdict {
    let turn = passwords.turn().await.unwrap();
    let stored = stored.map(|text| Kept(text.to_owned()));
    turn.verify(password(text), stored).await.unwrap()
}

#[tokio::test]
async fn a_password_is_verified_and_no_other_is() {
    let passwords = Passwords::new(Clock::manual(0, 1));
    let stored = hash(&passwords, GOOD).await;
    assert!(
        stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{stored}"
    );
    assert_eq!(
        verify(&passwords, GOOD, Some(&stored)).await,
        Verdict::Right
    );
    for wrong in ["", "vier pferde kauen heu", "vier Pferde kauen Heu "] {
        assert_eq!(
            verify(&passwords, wrong, Some(&stored)).await,
            Verdict::Wrong
        );
    }
    // Salted.
    assert_ne!(hash(&passwords, GOOD).await, stored);
}

#[tokio::test]
async fn what_is_typed_in_another_way_is_the_same() {
    let passwords = Passwords::new(Clock::manual(0, 1));
    let stored = hash(&passwords, "caf\u{e9} au lait, s'il te plaît").await;
    let decomposed = "cafe\u{301} au lait, s'il te plai\u{302}t";
    assert_eq!(
        verify(&passwords, decomposed, Some(&stored)).await,
        Verdict::Right
    );
}

#[tokio::test]
async fn nobody_s_password_costs_what_anybody_s_does() {
    let passwords = Passwords::new(Clock::manual(0, 1));
    let stored = hash(&passwords, GOOD).await;
    let before = passwords.counted();
    assert_eq!(
        verify(&passwords, "wrong", Some(&stored)).await,
        Verdict::Wrong
    );
    assert_eq!(passwords.counted() - before, 1);
    assert_eq!(verify(&passwords, "wrong", None).await, Verdict::Wrong);
    assert_eq!(passwords.counted() - before, 2);
    // And by the same parameters.
    let (params, ..) = read(&passwords.0.decoy).unwrap();
    assert_eq!(cost(&params), cost(&PARAMS));
}

#[tokio::test]
async fn an_older_hash_is_taken_and_said_to_be_old() {
    // Of the command line of the reference implementation, for "password" and "somesalt".
    let stored =
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let passwords = Passwords::new(Clock::manual(0, 1));
    assert_eq!(
        verify(&passwords, "password", Some(stored)).await,
        Verdict::RightButOld
    );
    assert_eq!(
        verify(&passwords, "Password", Some(stored)).await,
        Verdict::Wrong
    );
}

#[tokio::test]
async fn a_row_that_is_none_lets_nobody_in_and_costs_little() {
    let passwords = Passwords::new(Clock::manual(0, 1));
    for stored in [
        "",
        "password",
        "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=65536,t=4000000,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    ] {
        let before = passwords.counted();
        assert_eq!(
            verify(&passwords, "password", Some(stored)).await,
            Verdict::Wrong
        );
        assert_eq!(passwords.counted(), before, "{stored}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_or_behind_too_many_is_sent_away() {
    let passwords = Passwords::new(Clock::manual(0, 1));
    let mut working = Vec::new();
    for _ in 0..PASSWORD_HASHES_MAX {
        working.push(passwords.turn().await.unwrap());
    }
    let refused = passwords.turn().await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Overloaded);
    let waiting: Vec<_> = (0..PASSWORD_WAITING_MAX)
        .map(|_| {
            Box::pin(tokio::spawn({
                let passwords = passwords.clone();
                async move { passwords.turn().await }
            }))
        })
        .collect();
    while passwords.0.waiting.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let began = tokio::time::Instant::now();
    assert_eq!(
        passwords.turn().await.unwrap_err().code,
        ErrorCode::Overloaded
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(working);
    for waiting in waiting {
        drop(waiting.await.unwrap().unwrap());
    }
    assert!(passwords.turn().await.is_ok());
}

#[test]
fn the_rules_are_those_of_the_standard() {
    assert_eq!(check("fourteen chars", &[]), Err(Unfit::Short));
    assert_eq!(check(GOOD, &["ann"]), Ok(()));
    // Characters are counted, not bytes, and any will do.
    assert_eq!(check("ждёт кота у окна", &[]), Ok(()));
    assert_eq!(check("правда", &[]), Err(Unfit::Short));
    let long: String = GOOD.chars().cycle().take(PASSWORD_CHARS_MAX + 1).collect();
    assert_eq!(check(&long, &[]), Err(Unfit::Long));
    // No composition is asked for.
    for fit in [
        "gravelnoontimecactus",
        "8302957714660392",
        "Tr4velling-light-is-hard",
    ] {
        assert_eq!(check(fit, &[]), Ok(()), "{fit}");
    }
    for expected in [
        "passwordpassword",
        "P@ssw0rdP@ssw0rd!",
        "Password123456789",
        "qwertyuiopasdfghjkl",
        "123456789012345",
        "aaaaaaaaaaaaaaaaaa",
        "abcabcabcabcabcabc",
        "iloveyouiloveyou12",
        "Summer2024Summer2024",
        "selvedge-selvedge-1",
        "zyxwvutsrqponmlk",
    ] {
        assert_eq!(check(expected, &[]), Err(Unfit::Expected), "{expected}");
    }
}

#[test]
fn its_owner_s_names_are_expected() {
    let names = ["margarethe", "margarethe.oberlin@example.org"];
    for expected in ["margaretheoberlin", "Margarethe1234567", "oberlin.oberlin!"] {
        assert_eq!(check(expected, &names), Err(Unfit::Expected), "{expected}");
        assert_eq!(check("margaretheoberlin", &["ann"]), Ok(()));
    }
    // A name within something else is no harm.
    assert_eq!(check("margarethe kauft grobes Brot", &names), Ok(()));
}

#[test]
fn a_password_is_never_printed_and_never_megabytes() {
    assert!(!format!("{:?}", password(GOOD)).contains("Pferde"));
    let refused = Password::new("a".repeat(PASSWORD_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(refused.field.as_deref(), Some("password"));
}
