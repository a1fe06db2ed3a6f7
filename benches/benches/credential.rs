//! A credential that comes again, as each request over HTTP shows one: an API key that is known, one that is looked up,
//! and one that is nobody's.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench in which this fails has failed")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use selvedge_cluster::Clock;
use selvedge_cluster::store::Store;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::migration::SessionKey;
use selvedge_node::identity::{
    Authenticator, DevelopmentToken, Directory, KeyMaker, NewKey, Principal, Role, Secret, Tokens,
};
use selvedge_node::notice::Heard;
use selvedge_protocol::Tenant;

fn credentials(criterion: &mut Criterion) {
    let files = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(Embedded::open(EmbeddedConfig::new(files.path())).unwrap());
    let clock = Clock::system();
    let directory = Directory::new(store, clock.clone(), &SessionKey::new([7; 32]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let key = runtime.block_on(async {
        let by = &Principal::new("admin", Tenant::default_tenant(), [Role::ADMIN]);
        let maker = KeyMaker { by, request: b"" };
        let new = NewKey {
            name: "a key".to_owned(),
            roles: vec!["developer".to_owned()],
            expires_ms: None,
        };
        directory.make_api_key(maker, new).await.unwrap().text
    });
    let own = DevelopmentToken::new("admin", Secret::new("the operator's"));
    let standings = directory.standings().clone();
    let tokens = Tokens::new(own, Vec::new(), directory, clock);
    let come = |credential: &str| runtime.block_on(tokens.authenticate(credential, None));
    criterion.bench_function("an API key that is known", |bencher| {
        bencher.iter(|| come(black_box(key.reveal())).unwrap());
    });
    criterion.bench_function("an API key that is looked up", |bencher| {
        bencher.iter(|| {
            standings.heard(Heard::Lost);
            come(black_box(key.reveal())).unwrap()
        });
    });
    let wrong = key.reveal().replace("selv_default", "selv_acme");
    criterion.bench_function("an API key of nobody", |bencher| {
        bencher.iter(|| come(black_box(&wrong)).unwrap_err());
    });
    criterion.bench_function("the operator's token", |bencher| {
        bencher.iter(|| come(black_box("the operator's")).unwrap());
    });
}

criterion_group!(benches, credentials);
criterion_main!(benches);
