//! The session service: opens and resumes sessions for connections, and drains them all.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ractor::{Actor, ActorRef};
use selvedge_cluster::Clock;
use selvedge_protocol::frame::{ClientFrame, Hello, Welcome};
use selvedge_protocol::limits::SESSION_DETACHED_MS_MAX;
use selvedge_protocol::session::server::{self, Session};
use selvedge_protocol::{ErrorCode, Failure, SessionId, servers};

use crate::gateway::{Caller, Service};
use crate::identity::{Authenticator, Principal, ResumeClaims, ResumeKey};
use crate::limit::Bearer;
use crate::processing::worker::Workers;
use crate::session::actor::{SessionActor, Start};
use crate::session::elsewhere::{Elsewhere, OtherNodes, Told};
use crate::session::handle::{ConnectionNumber, SessionHandle};
use crate::session::link::{LinkSender, Transport};
use crate::session::message::{Attachment, Message};
use crate::session::registry::{Registry, SessionFilter, SessionInfo};
use crate::session::supervisor::Supervisor;
use crate::session::work::Work;

/// The bounds of the sessions of a node.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The name of this node.
    pub node: String,
    /// A connection silent for this long is closed; stated in the Welcome.
    pub idle_ms: u32,
    /// How long a session without a connection is kept.
    pub detached_ms: u64,
    /// Sessions kept without a connection.
    pub detached_max: usize,
    /// Sessions in all.
    pub sessions_max: usize,
    /// How old a session may become, on whichever nodes; `None`: as old as it likes.
    pub life: Option<Duration>,
    /// How long a client with a connection may ask for nothing; `None`: as long as it likes.
    pub unused: Option<Duration>,
}

impl SessionConfig {
    /// The defaults for a node of this name.
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            idle_ms: 30_000, // a client that pings three times in it survives the loss of two
            detached_ms: SESSION_DETACHED_MS_MAX,
            detached_max: 10_000, // at about 10 kB each no more than 100 MB wait for clients to return
            sessions_max: 200_000, // 100,000 live ones is DESIGN 16's goal for a node
            // Devices stay for months, and their credentials have terms of their own.
            life: None,
            unused: None,
        }
    }
}

/// What sessions need of their node.
#[derive(Clone)]
pub struct Inside {
    pub service: Arc<dyn Service>,
    /// `None`: the node hands out no steps.
    pub workers: Option<Workers>,
    pub authenticator: Arc<dyn Authenticator>,
    pub resume_key: ResumeKey,
    pub clock: Clock,
    /// Where sessions go when this node drains; [`no_other_nodes`](super::no_other_nodes) where it is alone.
    pub others: OtherNodes,
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inside")
    }
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the sessions supervisor cannot start: {0}")]
pub struct StartError(String);

/// A cheap handle on the sessions of a node.
#[derive(Debug, Clone)]
pub struct Sessions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: SessionConfig,
    inside: Inside,
    registry: Arc<Registry>,
    supervisor: ActorRef<()>,
    over_quic: Arc<Elsewhere>,
    over_http: Arc<Elsewhere>,
    connections: AtomicU64,
    /// Milliseconds that a drain may take; 0 while there is none.
    draining_ms: AtomicU32,
}

impl Sessions {
    /// Starts the supervisor.
    pub async fn start(config: SessionConfig, inside: Inside) -> Result<Self, StartError> {
        let (supervisor, _) = Supervisor::spawn(None, Supervisor, inside.clock.clone())
            .await
            .map_err(|error| StartError(error.to_string()))?;
        let first = usize::try_from(inside.clock.random() >> 32).unwrap_or(0);
        let OtherNodes { quic, http, .. } = inside.others.clone();
        Ok(Self(Arc::new(Shared {
            over_quic: Arc::new(Elsewhere::new(quic, first)),
            over_http: Arc::new(Elsewhere::new(http, first)),
            registry: Arc::new(Registry::new(config.detached_max)),
            config,
            inside,
            supervisor,
            connections: AtomicU64::new(0),
            draining_ms: AtomicU32::new(0),
        })))
    }

    /// Opens or resumes the session that the first frame of a connection asks for. The Welcome is the
    /// first thing on the link.
    pub async fn open(
        &self,
        first: ClientFrame,
        link: LinkSender,
    ) -> Result<SessionHandle, Failure> {
        let greeting = server::greet(first)?;
        if self.draining_ms() > 0 {
            return Err(Failure::new(
                ErrorCode::Unavailable,
                "the node is draining; connect to another, or again in a moment",
            ));
        }
        let Hello {
            token,
            tenant,
            resume,
            agent,
            ..
        } = greeting.hello;
        let shared = &self.0;
        let principal = shared
            .inside
            .authenticator
            .authenticate(&token, tenant)
            .await?;
        principal
            .check_present(&shared.inside.clock)
            .inspect_err(|failure| shared.inside.service.ended(&principal, failure))?;
        let opened = self.admit(&principal, resume)?;
        let service = &shared.inside.service;
        let allowance = service.allowance(&principal, Bearer::Connection)?;
        let principal = match shared.ends_ms(opened.session) {
            Some(ends_ms) => principal.in_session_until(ends_ms),
            None => principal,
        };
        // One that is resumed may be too old.
        principal.check_present(&shared.inside.clock)?;
        tracing::debug!(session = %opened.session, resumed = opened.resumed, ?agent, "session opened");
        let connection = ConnectionNumber(shared.connections.fetch_add(1, Ordering::Relaxed));
        let elsewhere = shared.elsewhere(link.transport());
        let others = elsewhere.all();
        let mut welcome = self.welcome(greeting.version, &principal, &opened);
        servers::announce(&mut welcome.ext, &others);
        let attachment = Attachment {
            connection,
            principal,
            allowance: allowance.clone(),
            link,
            welcome,
            told: Told::new(elsewhere.watch(), others),
            elsewhere: Arc::clone(elsewhere),
        };
        let actor = self.attach(opened.session, attachment).await?;
        // A drain that began in the meantime may have missed this session.
        let deadline_ms = self.draining_ms();
        if deadline_ms > 0 {
            let _ = actor.send_message(Message::Drain { deadline_ms });
        }
        Ok(SessionHandle::new(
            opened.session,
            connection,
            actor,
            allowance,
        ))
    }

    /// What they take their time and randomness from.
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.inside.clock
    }

    /// A connection silent for this long is to be closed.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(u64::from(self.0.config.idle_ms))
    }

    /// Live sessions, with and without a connection.
    pub fn len(&self) -> usize {
        self.0.registry.len()
    }

    /// Whether no more sessions are taken, as the node stops.
    pub fn is_draining(&self) -> bool {
        self.draining_ms() > 0
    }

    /// Whether there are as many as may be.
    pub fn is_full(&self) -> bool {
        self.len() >= self.0.config.sessions_max
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `limit` live sessions after one, in the order of their ids, of those that are wanted.
    pub fn list(
        &self,
        wanted: SessionFilter<'_>,
        after: Option<SessionId>,
        limit: usize,
    ) -> Vec<SessionInfo> {
        self.0.registry.list(wanted, after, limit)
    }

    /// What a list tells of a live session.
    pub fn info(&self, session: SessionId) -> Option<SessionInfo> {
        self.0.registry.info(session)
    }

    /// `host:port` of the cluster's other bridges, those that are away as well.
    pub fn bridges(&self) -> Arc<[String]> {
        Arc::clone(&self.0.inside.others.bridges.borrow())
    }

    /// How many sessions have a connection over each transport, and how many have none.
    pub fn count(&self) -> ([(Transport, usize); Transport::ALL.len()], usize) {
        self.0.registry.count()
    }

    /// Ends a session; its client is told that it was closed. Whether there was one.
    pub fn close(&self, session: SessionId) -> bool {
        let actor = self.0.registry.find(session);
        actor.is_some_and(|actor| actor.send_message(Message::Close).is_ok())
    }

    /// Takes no more sessions and requests, lets what is in flight be answered, then ends all
    /// sessions; those that are not done `within` this time are cut off.
    pub async fn drain(&self, within: Duration) {
        let deadline_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX).max(1);
        let registry = &self.0.registry;
        // The edge and the bridge both wait for the end of all sessions; these hear of it once.
        if self.0.draining_ms.swap(deadline_ms, Ordering::SeqCst) == 0 {
            registry.tell_all(|| Message::Drain { deadline_ms });
        }
        if tokio::time::timeout(within, registry.empty())
            .await
            .is_err()
        {
            tracing::warn!(sessions = registry.len(), "sessions cut off by the drain");
            registry.tell_all(|| Message::Stop);
        }
    }

    /// Tells all present sessions to go on at other nodes, while this one goes on: the first step of a drain that
    /// lets the process live. Each leaves once its tasks have ended and its commands are answered. Sessions
    /// that come later, or come back because they find nobody else, are served. Does nothing where no other node
    /// is known. Answers how many sessions were told.
    pub fn redirect_all(&self) -> usize {
        let Shared {
            registry,
            over_quic,
            over_http,
            ..
        } = &*self.0;
        if over_quic.is_empty() && over_http.is_empty() {
            return 0;
        }
        let sessions = registry.len();
        tracing::info!(sessions, "sessions move to other nodes");
        registry.tell_all(|| Message::Move);
        sessions
    }

    /// Waits until the supervisor has failed: sessions crashed beyond its budget.
    pub async fn failed(&self) {
        // Without a time limit the wait ends with the supervisor only.
        let _ = self.0.supervisor.wait(None).await;
    }

    fn draining_ms(&self) -> u32 {
        self.0.draining_ms.load(Ordering::SeqCst)
    }

    fn admit(&self, principal: &Principal, resume: Option<Bytes>) -> Result<Opened, Failure> {
        let shared = &self.0;
        if shared.registry.len() >= shared.config.sessions_max {
            return Err(Failure::new(
                ErrorCode::Overloaded,
                "the node has as many sessions as it may; connect to another, or again later",
            ));
        }
        let now_ms = shared.inside.clock.wall_ms();
        let Some(token) = resume else {
            return Ok(Opened {
                session: SessionId::from_parts(now_ms, shared.inside.clock.random_bytes()),
                resumed: false,
            });
        };
        let claims = shared.inside.resume_key.open(&token, now_ms)?;
        if !claims.is_of(principal) {
            return Err(Failure::field(
                ErrorCode::PermissionDenied,
                "resume",
                "the session is another principal's; start a new one",
            ));
        }
        Ok(Opened {
            session: claims.session,
            resumed: true,
        })
    }

    fn welcome(&self, version: u8, principal: &Principal, opened: &Opened) -> Welcome {
        let Shared { config, inside, .. } = &*self.0;
        Welcome {
            version,
            session: opened.session,
            resumed: opened.resumed,
            resume_token: inside.resume_key.seal(&ResumeClaims {
                session: opened.session,
                tenant: principal.tenant.clone(),
                name: Arc::clone(&principal.name),
                issued_ms: inside.clock.wall_ms(),
            }),
            node: config.node.clone(),
            limits: server::limits(config.idle_ms),
            ext: Vec::new(),
        }
    }

    /// Gives the connection to the live session, or to a new actor for it.
    async fn attach(
        &self,
        session: SessionId,
        attachment: Attachment,
    ) -> Result<ActorRef<Message>, Failure> {
        let Shared {
            config,
            inside,
            registry,
            supervisor,
            ..
        } = &*self.0;
        let mut attachment = Box::new(attachment);
        if let Some(actor) = registry.find(session) {
            match actor.send_message(Message::Attach(attachment)) {
                Ok(()) => return Ok(actor),
                Err(ractor::MessagingErr::SendErr(Message::Attach(returned))) => {
                    attachment = returned;
                }
                Err(_) => return Err(stopped()),
            }
        }
        let start = Start {
            machine: Session::new(server::limits(config.idle_ms)),
            service: Arc::clone(&inside.service),
            work: Work::new(inside.workers.clone()),
            detached: Duration::from_millis(config.detached_ms),
            idle: config.unused,
            registry: Arc::clone(registry),
            clock: inside.clock.clone(),
            session,
            caller: Caller {
                principal: attachment.principal.clone(),
                session: Some(session),
                allowance: attachment.allowance.clone(),
            },
            attachment: *attachment,
        };
        match SessionActor::spawn_linked(None, SessionActor, start, supervisor.get_cell()).await {
            Ok((actor, _)) => Ok(actor),
            Err(error) => {
                tracing::error!(%error, "session not started");
                Err(stopped())
            }
        }
    }
}

impl Shared {
    /// When a session is too old; `None`: never. Its id says when it was opened first.
    fn ends_ms(&self, session: SessionId) -> Option<u64> {
        let life_ms = u64::try_from(self.config.life?.as_millis()).unwrap_or(u64::MAX);
        Some(session.created_ms().saturating_add(life_ms))
    }

    /// Where the sessions of such connections go.
    const fn elsewhere(&self, transport: Transport) -> &Arc<Elsewhere> {
        match transport {
            Transport::Quic => &self.over_quic,
            // Browsers ask there where the port for WebTransport is, and what it shows.
            Transport::WebSocket | Transport::WebTransport => &self.over_http,
        }
    }
}

/// Which session a Hello gets.
struct Opened {
    session: SessionId,
    resumed: bool,
}

fn stopped() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "the session could not be served; connect again",
    )
}
