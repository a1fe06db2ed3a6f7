//! Relays over real sockets.

use tokio::time::timeout;

use super::*;

/// How long anything here may take before it counts as hung. Never a measure of speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that answers each datagram with the same, over a relay.
struct World {
    server: UdpSocket,
    relay: Relay,
}

impl World {
    fn new() -> Self {
        let server = socket().unwrap();
        let config = RelayConfig {
            server: server.local_addr().unwrap(),
            seed: 1,
            clock: Clock::system(),
        };
        let relay = Relay::bind(config).unwrap();
        Self { server, relay }
    }

    async fn client(&self) -> UdpSocket {
        let client = socket().unwrap();
        client.connect(self.relay.address()).await.unwrap();
        client
    }

    /// Takes what comes to the server, and answers.
    async fn answer(&self) -> Vec<u8> {
        let mut buffer = [0; 2_048];
        let received = self.server.recv_from(&mut buffer);
        let (length, from) = timeout(PATIENCE, received).await.unwrap().unwrap();
        self.server.send_to(&buffer[..length], from).await.unwrap();
        buffer[..length].to_vec()
    }
}

async fn heard(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2_048];
    let received = client.recv(&mut buffer);
    let length = timeout(PATIENCE, received).await.unwrap().unwrap();
    buffer[..length].to_vec()
}

fn blocked() -> Rule {
    Rule {
        is_blocked: true,
        ..Rule::default()
    }
}

#[tokio::test]
async fn answers_find_back_to_who_asked() {
    let world = World::new();
    let clients = [world.client().await, world.client().await];
    for round in 0..3_u8 {
        for (name, client) in clients.iter().enumerate() {
            client
                .send(&[round, u8::try_from(name).unwrap()])
                .await
                .unwrap();
            world.answer().await;
        }
        for (name, client) in clients.iter().enumerate() {
            assert_eq!(
                heard(client).await,
                [round, u8::try_from(name).unwrap()].to_vec()
            );
        }
    }
}

/// Rules for one who sends; all others are let through.
fn only(client: &UdpSocket, rules: Rules) -> RulesBySource {
    RulesBySource {
        named: vec![(client.local_addr().unwrap(), rules)],
        ..RulesBySource::default()
    }
}

#[tokio::test]
async fn each_direction_is_blocked_by_itself_and_by_source() {
    let world = World::new();
    let (cut, other) = (world.client().await, world.client().await);
    let mut buffer = [0; 8];
    let to_client = Rules {
        to_client: blocked(),
        ..Rules::default()
    };
    world.relay.apply(only(&cut, to_client));
    for _ in 0..10 {
        cut.send(b"asked").await.unwrap();
        assert_eq!(world.answer().await, b"asked");
        other.send(b"through").await.unwrap();
        assert_eq!(world.answer().await, b"through");
        assert_eq!(heard(&other).await, b"through");
    }
    assert!(cut.try_recv(&mut buffer).is_err(), "no answer comes back");

    let to_server = Rules {
        to_server: blocked(),
        ..Rules::default()
    };
    let cut = world.client().await;
    world.relay.apply(only(&cut, to_server));
    for _ in 0..10 {
        cut.send(b"lost").await.unwrap();
        other.send(b"through").await.unwrap();
        assert_eq!(world.answer().await, b"through");
        assert_eq!(heard(&other).await, b"through");
    }
    world.relay.apply(RulesBySource::default());
    cut.send(b"healed").await.unwrap();
    assert_eq!(world.answer().await, b"healed");
    assert_eq!(heard(&cut).await, b"healed");
}

#[tokio::test]
async fn what_is_held_back_is_overtaken_and_copies_come() {
    let world = World::new();
    let client = world.client().await;
    let late = Rule {
        delay: Duration::from_millis(200),
        duplicate_percent: 100,
        ..Rule::default()
    };
    let late = Rules {
        to_server: late,
        ..Rules::default()
    };
    world.relay.apply(only(&client, late));
    client.send(b"first").await.unwrap();
    let other = world.client().await;
    other.send(b"second").await.unwrap();
    let came = [
        world.answer().await,
        world.answer().await,
        world.answer().await,
    ];
    assert_eq!(
        came,
        [b"second".to_vec(), b"first".to_vec(), b"first".to_vec()]
    );
}

#[tokio::test]
async fn losses_are_about_as_many_as_asked_for() {
    const COUNT: u32 = 400;
    let world = World::new();
    let client = world.client().await;
    let lossy = Rule {
        loss_percent: 30,
        ..Rule::default()
    };
    let lossy = Rules {
        to_server: lossy,
        ..Rules::default()
    };
    world.relay.apply(only(&client, lossy));
    for number in 0..COUNT {
        client.send(&number.to_le_bytes()).await.unwrap();
    }
    // Comes, and comes last.
    world.client().await.send(b"last").await.unwrap();
    let mut arrived = 0;
    while world.answer().await != b"last" {
        arrived += 1;
    }
    assert!((240..=320).contains(&arrived), "{arrived} of {COUNT}");
}

#[tokio::test(start_paused = true)]
async fn flows_that_nobody_uses_are_dropped() {
    let world = World::new();
    let shared = Arc::clone(&world.relay.shared);
    let mut flows = Flows::default();
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let first = flows.of(&shared, client).unwrap();
    assert!(Arc::ptr_eq(&first, &flows.of(&shared, client).unwrap()));
    sleep(IDLE_MAX / 2).await;
    flows.forget_idle(shared.elapsed_ms());
    assert_eq!(flows.by_client.len(), 1);
    sleep(IDLE_MAX).await;
    flows.forget_idle(shared.elapsed_ms());
    assert!(flows.by_client.is_empty());
    assert!(!Arc::ptr_eq(&first, &flows.of(&shared, client).unwrap()));
}

#[tokio::test]
async fn there_is_an_end_to_clients() {
    let world = World::new();
    let mut flows = Flows::default();
    let of = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut ports = 1..=u16::try_from(FLOWS_MAX).unwrap();
    assert!(ports.all(|port| flows.of(&world.relay.shared, of(port)).is_some()));
    assert!(flows.of(&world.relay.shared, of(60_000)).is_none());
}
