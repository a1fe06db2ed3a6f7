//! A limit over several nodes, while its owner changes.

use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::actor::Identity;
use selvedge_cluster::membership::Role;
use selvedge_node::gateway::{Caller, CommandCall, CommandPayload, Gateway, Service};
use selvedge_node::identity::{self, ClientName, Login, Logins, Password, Principal};
use selvedge_node::limit::{Allowance, Bearer, LimitName, Rate};
use selvedge_protocol::{CommandId, ErrorCode, Target, Tenant};
use serde_json::json;
use tokio::time::{Instant, interval, timeout};

use super::super::world::{PATIENCE, answered};
use super::{Cluster, Node};

/// Sets a limit as an administrator of the cluster does, at this node.
async fn set(node: &Node, scope: &str, rate: &str) {
    let running = &node.running;
    let gateway = Gateway::new(running);
    let admin = Principal::new("admin", Tenant::default_tenant(), [identity::Role::ADMIN]);
    let caller = Caller {
        principal: admin.administering_the_cluster(),
        session: None,
        allowance: Allowance::unlimited(),
    };
    let body = json!({ "scope": scope, "limit": "commands", "rate": rate });
    let call = CommandCall {
        target: Target::Cluster,
        identity: Identity::Id(CommandId::from_text("set")),
        name: "limit.set".to_owned(),
        body: body.to_string().into(),
        payload: CommandPayload::None,
        if_version: None,
        deadline: None,
    };
    let set = answered(|reply| gateway.command(&caller, call, reply)).await;
    set.unwrap();
}

fn allowance(node: &Node, tenant: &Tenant) -> Allowance {
    let limits = &node.running.limits;
    let name = Arc::from("somebody");
    limits.allowance(tenant, &name, Bearer::Request).unwrap()
}

/// What the nodes let through.
struct Load {
    allowances: Vec<Allowance>,
    first: Option<Instant>,
    last: Instant,
    accepted: u64,
}

impl Load {
    /// Asks all nodes for more than the limit has, for some time.
    async fn goes_on(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut ticks = interval(Duration::from_millis(2));
        while Instant::now() < end {
            ticks.tick().await;
            for allowance in &self.allowances {
                for _ in 0..3 {
                    if allowance.take(LimitName::Commands).is_ok() {
                        self.last = Instant::now();
                        self.first.get_or_insert(self.last);
                        self.accepted += 1;
                    }
                }
            }
        }
    }

    /// The bound of `limit::lease`, and most of what it allows.
    fn check(&self, rate: Rate) {
        let time = self.last.duration_since(self.first.unwrap());
        let came = time.as_secs_f64() * rate.tokens() as f64;
        let nodes = self.allowances.len() as u64;
        let bound = came + (rate.burst() + nodes * rate.batch()) as f64;
        let accepted = self.accepted as f64;
        assert!(accepted <= bound, "{accepted} of {bound} in {time:?}");
        assert!(accepted >= came * 0.6, "{accepted} of {came} in {time:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_holds_over_all_nodes_and_changes_of_its_owner() {
    let mut cluster = Cluster::new().await;
    let mut nodes = Vec::new();
    for name in ["node-1", "node-2", "node-3"] {
        nodes.push(cluster.node(name, &[Role::Core, Role::Processing]).await);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    cluster.give_all_to(&nodes[0]).await;
    cluster.tell(&all);

    let tenant = Tenant::default_tenant();
    let rate: Rate = "100/s".parse().unwrap();
    let allowances: Vec<_> = nodes.iter().map(|node| allowance(node, &tenant)).collect();
    // Those that are there already hear of it within a second.
    set(&nodes[1], "tenant:default", "100/s").await;
    let in_force = async {
        let mut ticks = interval(Duration::from_millis(5));
        while !allowances.iter().all(|it| it.standings().len() == 1) {
            ticks.tick().await;
        }
    };
    let began = Instant::now();
    timeout(PATIENCE, in_force).await.unwrap();
    let heard = began.elapsed();
    assert!(heard < Duration::from_secs(1), "{heard:?}");

    let mut load = Load {
        allowances,
        first: None,
        last: Instant::now(),
        accepted: 0,
    };
    load.goes_on(Duration::from_secs(2)).await;
    load.check(rate);
    // The owner is another, twice; the first had given nothing back.
    cluster.give_all_to(&nodes[1]).await;
    cluster.tell(&all);
    load.goes_on(Duration::from_secs(2)).await;
    load.check(rate);
    cluster.bury("node-2");
    cluster.give_all_to(&nodes[2]).await;
    cluster.tell(&all);
    load.goes_on(Duration::from_secs(2)).await;
    load.check(rate);

    // Another tenant is another matter.
    let other = allowance(&nodes[0], &Tenant::new("other").unwrap());
    assert!((0..1_000).all(|_| other.take(LimitName::Commands).is_ok()));
    // Whoever comes anew finds it used up.
    load.goes_on(Duration::from_millis(100)).await;
    let anew = allowance(&nodes[0], &tenant);
    let granted = (0..1_000).filter(|_| anew.take(LimitName::Commands).is_ok());
    assert!(granted.count() as u64 <= rate.batch());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_owner_goes_on_with_what_it_has() {
    let mut cluster = Cluster::new().await;
    let node = cluster
        .node("node-1", &[Role::Core, Role::Processing])
        .await;
    // Nobody owns anything.
    cluster.tell(&[&node]);
    set(&node, "tenant:default", "100/s").await;
    let tenant = Tenant::default_tenant();
    let allowance = allowance(&node, &tenant);
    let taken = (0..100).filter(|_| allowance.take(LimitName::Commands).is_ok());
    assert_eq!(taken.count(), 10);
    let said = async {
        let mut ticks = interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            let refused = allowance.take(LimitName::Commands).unwrap_err();
            if refused.message.contains("cannot be reached") {
                return refused;
            }
        }
    };
    let refused = timeout(PATIENCE, said).await.unwrap();
    assert!(refused.retry_after_ms.is_some());
    // Once there is an owner it goes on.
    cluster.give_all_to(&node).await;
    cluster.tell(&[&node]);
    let served = async {
        let mut ticks = interval(Duration::from_millis(5));
        while allowance.take(LimitName::Commands).is_err() {
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, served).await.unwrap();
}

/// However many nodes somebody guesses at, together they let pass what one would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_tried_at_one_rate_over_all_nodes() {
    let mut cluster = Cluster::new().await;
    let mut nodes = Vec::new();
    for name in ["node-1", "node-2", "node-3"] {
        nodes.push(cluster.node(name, &[Role::Core, Role::Processing]).await);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    cluster.give_all_to(&nodes[0]).await;
    cluster.tell(&all);
    let tenant = Tenant::default_tenant();
    let passed = |name: &str| {
        let tries = nodes.iter().flat_map(|node| {
            let limits = &node.running.limits;
            (0..100).filter(|_| limits.try_password(&tenant, name.into()).is_ok())
        });
        tries.count()
    };
    // One of each node before it hears of the owner, who has nothing yet.
    assert_eq!(passed("ann"), nodes.len());
    let mut ticks = interval(Duration::from_millis(5));
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        ticks.tick().await;
        for node in &nodes {
            let wait = node.running.limits.try_password(&tenant, "ann".into());
            // A minute, and a quarter for who else waits.
            assert!(wait.unwrap_err() <= Duration::from_secs(80));
        }
    }
    // Somebody else is another matter.
    assert_eq!(passed("bob"), nodes.len());
}

/// The same for who asks to log in, from another place each time, as somebody who is not even there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_at_all_nodes_is_slowed_down_by_all() {
    let mut cluster = Cluster::new().await;
    let mut nodes = Vec::new();
    for name in ["node-1", "node-2", "node-3"] {
        nodes.push(cluster.node(name, &[Role::Core, Role::Processing]).await);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    cluster.give_all_to(&nodes[0]).await;
    cluster.tell(&all);
    let (mut tried, mut refused) = (0, 0);
    for (number, node) in (0..).zip(&nodes) {
        let running = &node.running;
        let logins = Logins::new(running.directory.clone(), &[7; 32], "test".to_owned());
        let logins = logins.counting_with(running.limits.clone());
        for place in 0..12 {
            let login = Login {
                tenant: Tenant::default_tenant(),
                username: "nobody".to_owned(),
                password: Password::new("Correct horse battery".to_owned()).unwrap(),
                client: ClientName::new("test").unwrap(),
                address: [10, number, place, 1].into(),
            };
            match logins.log_in(login).await.unwrap_err() {
                wrong if wrong.code == ErrorCode::Unauthenticated => tried += 1,
                late => {
                    assert_eq!(late.code, ErrorCode::LimitExceeded);
                    assert!(late.retry_after_ms.is_some());
                    refused += 1;
                }
            }
        }
    }
    // What each lets pass by itself, and one.
    assert_eq!((tried, refused), (3 * 6, 3 * 6));
}
