//! The command line: every command, flag and default, as clap types. It decides nothing.

mod audit;
mod backup;
mod cluster;
mod demo;
mod directory;
mod limit;
mod load;
mod node_flags;
mod subject;
mod token;
mod user;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use selvedge_protocol::{ActorAddress, ActorKey, ActorKind, OperationId, OperationType};

use crate::operate::duration::parse_ms;

pub(crate) use audit::{Audit, AuditExport, AuditList, AuditVerify, OfChain};
pub(crate) use backup::{Backup, OfStore};
pub(crate) use cluster::{Cluster, Drain, InitCa, IssueCert};
pub(crate) use demo::Demo;
pub(crate) use directory::{Key, Role, Session};
pub(crate) use limit::{Limit, LimitNamed};
pub(crate) use load::{Bench, Verify, Workload};
pub(crate) use node_flags::{Dev, NodeFlags, Start};
pub(crate) use subject::{Consent, ConsentOf, Subject};
pub(crate) use token::{Token, WebFlags};
pub(crate) use user::{Named, User};

/// Durable actors at the edge: sessions, operations and processing, clustered over QUIC.
#[derive(Debug, Parser)]
#[command(
    name = "selvedge",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    Table,
    /// One JSON document, or one a line where results stream.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Digest every file of a directory durably, with a node of its own, and write a manifest.
    Demo(Demo),
    /// Run a development node: embedded store, certificates and a token made for you.
    ///
    /// With --nodes it is a small cluster on this machine: a storage node and that many nodes, each a process.
    /// A node that ends by itself, or is killed, is started again some seconds later.
    Dev(Dev),
    /// Run a node with real certificates and credentials.
    Start(Start),
    /// Submit, inspect and control operations.
    #[command(subcommand)]
    Op(Op),
    /// Submit operations by the clock.
    #[command(subcommand)]
    Schedule(Schedule),
    /// Send commands to actors, read and follow them.
    #[command(subcommand)]
    Actor(Actor),
    /// Explain what an operation or a schedule waits for, since when, and what ends it.
    Why(Why),
    /// Show and change how operations of a type are run.
    #[command(subcommand)]
    Policy(Policy),
    /// Show and set how much tenants and principals may do, and see whom that refuses.
    #[command(subcommand)]
    Limit(Limit),
    /// Execute steps of operations.
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// Inspect and operate the nodes of a cluster, and make the certificates by which they know each other.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Read the audit trail: who changed what, and whom was refused; and verify that nobody touched it.
    #[command(subcommand)]
    Audit(Audit),
    /// Add, change and remove those who log in with a password.
    #[command(subcommand)]
    User(User),
    /// Log in with a password, go on with a login, and see and revoke tokens, over HTTP.
    #[command(subcommand)]
    Token(Token),
    /// Make and change the roles of a tenant.
    #[command(subcommand)]
    Role(Role),
    /// Make, list and revoke API keys, and change the key that the cluster signs tokens with.
    #[command(subcommand)]
    Key(Key),
    /// Close sessions.
    #[command(subcommand)]
    Session(Session),
    /// Hand out or erase what is stored about a person, and record consents.
    #[command(subcommand)]
    Subject(Subject),
    /// Copy a store into a file and back, also into a store of another kind.
    #[command(subcommand)]
    Backup(Backup),
    /// Check the configuration.
    #[command(subcommand)]
    Config(Config),
    /// Measure a workload against a node, as a ratio to a baseline of the same run.
    Bench(Bench),
    /// Check a node's promises: run a workload, record what clients see, and search it for what cannot be.
    ///
    /// Clients read, write, compare-and-set and append on actors of the demo application, with command ids and
    /// repeats; subscribers come and go; operations are submitted. Then: is there one order that explains all
    /// answers of each actor, did each command take effect once, did events come in order without gap or repeat,
    /// did each step of an operation run once. Prints PASS, or FAIL with the smallest part of the history that
    /// shows it and exit code 1. With --nodes it starts a cluster of its own and breaks it as it is told; the faults
    /// follow from the seed, and the report says how long each kept actors from answering. On a node that is running it leaves actors and operations behind whose keys
    /// and ids begin with `verify-`.
    Verify(Verify),
    /// Print completions for a shell.
    Completions { shell: clap_complete::Shell },
}

/// Where a client command goes. Without any of these: the profile that `dev` left in the data directory.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientFlags {
    /// The node's client address; several nodes of one cluster are separated by commas.
    #[arg(long, value_name = "HOST:PORT,...", env = "SELVEDGE_SERVER")]
    pub(crate) server: Option<String>,
    /// The certificate authority to trust, PEM.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The credential.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SELVEDGE_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// The data directory of a `dev` node, for its profile.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "./selvedge-data",
        env = "SELVEDGE_DATA_DIR"
    )]
    pub(crate) data_dir: PathBuf,
    /// The tenant to act in.
    #[arg(long, value_name = "TENANT", env = "SELVEDGE_TENANT")]
    pub(crate) tenant: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Op {
    /// Submit an operation; a repeat of the same id and input shows its present state.
    Submit(Box<OpSubmit>),
    /// Show an operation.
    Get {
        id: OperationId,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// List operations, newest first.
    List(OpList),
    /// Follow an operation's events until it has ended.
    Watch {
        id: OperationId,
        /// Only events after this one.
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        after: u64,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Cancel an operation; what it has promised to undo is undone.
    Cancel(OpTarget),
    /// Halt an operation: the step at work finishes, no other begins.
    Pause(OpTarget),
    /// Let a paused operation go on.
    Resume(OpTarget),
    /// Tell an operation something that one of its steps waits for, or will.
    Signal {
        id: OperationId,
        /// The signal's name.
        name: String,
        /// What comes with it, JSON text.
        #[arg(default_value = "null")]
        data: String,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Run an operation again that failed or was cancelled, or its next attempt at once.
    Retry {
        id: OperationId,
        /// The first step to run again [default: the first that has not finished].
        #[arg(long, value_name = "STEP")]
        from: Option<String>,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Explain what an operation waits for; the same as `selvedge why`.
    Why(OpTarget),
}

/// An operation, and where it is.
#[derive(Debug, Args)]
pub(crate) struct OpTarget {
    pub(crate) id: OperationId,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// `ID` or `operation ID` of an operation, or `schedule ID`.
    #[arg(required = true, num_args = 1..=2, value_name = "ID")]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

#[derive(Debug, Args)]
pub(crate) struct OpSubmit {
    /// The type: which handler runs it.
    #[arg(value_name = "TYPE")]
    pub(crate) operation_type: OperationType,
    /// The id; a repeat with the same one does not run twice [default: a new UUIDv7].
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<OperationId>,
    /// The input: JSON text, @FILE, or @- for standard input.
    #[arg(long, value_name = "JSON|@FILE|@-", default_value = "{}")]
    pub(crate) input: String,
    /// Bytes for the handler: stored up to 8 MiB, streamed through beyond. Workers get stored ones only.
    #[arg(long, value_name = "FILE")]
    pub(crate) payload: Option<PathBuf>,
    /// Wait until it has ended; exits with 1 when it did not succeed.
    #[arg(long)]
    pub(crate) wait: bool,
    /// A label, may be repeated.
    #[arg(long = "label", value_name = "K=V", value_parser = parse_label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Whatever is to be kept with it, JSON text.
    #[arg(long, value_name = "JSON")]
    pub(crate) metadata: Option<String>,
    /// Higher goes first.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub(crate) priority: i32,
    /// Not to start before this, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) run_at: Option<String>,
    /// Fails unless it has ended by then, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) deadline: Option<String>,
    /// Not now, but whenever this cron expression says: creates the schedule of this id.
    #[arg(long, value_name = "CRON", requires = "id", conflicts_with_all = ["payload", "wait"])]
    pub(crate) schedule: Option<String>,
    /// The time zone of `--schedule`, an IANA name [default: UTC].
    #[arg(long, value_name = "ZONE", requires = "schedule")]
    pub(crate) time_zone: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

#[derive(Debug, Args)]
pub(crate) struct OpList {
    /// Only those with this status, `waiting` for example.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Only those of this type.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) operation_type: Option<OperationType>,
    /// Only those with this label.
    #[arg(long, value_name = "K=V", value_parser = parse_label)]
    pub(crate) label: Option<(String, String)>,
    /// Submitted by this principal.
    #[arg(long, value_name = "NAME")]
    pub(crate) created_by: Option<String>,
    /// Not created before this, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) created_after: Option<String>,
    /// Created before this, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) created_before: Option<String>,
    /// Only how many there are.
    #[arg(long)]
    pub(crate) count: bool,
    /// How many to show.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
    /// Where the page before ended.
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schedule {
    /// Create a schedule; a repeat with the same definition shows its present state.
    Create(Box<ScheduleDefine>),
    /// Give a schedule another definition; what is not said has its default.
    Update(Box<ScheduleDefine>),
    /// Show a schedule: its definition, its next times, what runs.
    Get(ScheduleName),
    /// List schedules, by id.
    List {
        /// How many to show.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Where the page before ended.
        #[arg(long)]
        cursor: Option<String>,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Let no run begin until it is resumed.
    Pause {
        #[command(flatten)]
        schedule: ScheduleName,
        /// Why, for those who wonder.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Let it go on; times of the pause are not caught up.
    Resume(ScheduleName),
    /// Run it now; exits with 1 when one is running that it may not overlap.
    Trigger(ScheduleName),
    /// End it; what runs goes on.
    Delete(ScheduleName),
    /// Explain what it waits for and what came of its times; the same as `selvedge why schedule`.
    Why(ScheduleName),
    /// Follow its events.
    Watch {
        #[command(flatten)]
        schedule: ScheduleName,
        /// Only events after this one; without it, from the next event on.
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleName {
    pub(crate) id: ActorKey,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// When a schedule runs: one of the two.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ScheduleTimes {
    /// A cron expression: minute hour day month weekday, or 6 fields with seconds first.
    #[arg(long, value_name = "EXPR")]
    pub(crate) cron: Option<String>,
    /// An interval, for example 90s, 5m or 1h30m.
    #[arg(long, value_name = "DURATION", value_parser = parse_ms)]
    pub(crate) every: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleDefine {
    pub(crate) id: ActorKey,
    /// The type of the operations: which handler runs them.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) operation_type: OperationType,
    #[command(flatten)]
    pub(crate) times: ScheduleTimes,
    /// The time zone of `--cron`, an IANA name [default: UTC].
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// The input of the operations: JSON text, @FILE, or @- for standard input.
    #[arg(long, value_name = "JSON|@FILE|@-", default_value = "{}")]
    pub(crate) input: String,
    /// A label of the operations, may be repeated.
    #[arg(long = "label", value_name = "K=V", value_parser = parse_label)]
    pub(crate) labels: Vec<(String, String)>,
    /// The priority of the operations [default: 0].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// What happens at a time when an operation of the schedule runs [default: skip].
    #[arg(long, value_parser = ["skip", "buffer-one", "buffer-all", "allow", "cancel-other"])]
    pub(crate) overlap: Option<String>,
    /// How late a run may begin when its time passed unnoticed [default: 1m].
    #[arg(long, value_name = "DURATION", value_parser = parse_ms)]
    pub(crate) catch_up: Option<u64>,
    /// Begin each run up to so much later, by chance.
    #[arg(long, value_name = "DURATION", value_parser = parse_ms)]
    pub(crate) jitter: Option<u64>,
    /// No time before it, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) start_at: Option<String>,
    /// No time after it, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) end_at: Option<String>,
    /// End after so many runs.
    #[arg(long, value_name = "N")]
    pub(crate) max_runs: Option<u64>,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Actor {
    /// Send a command and print its answer.
    Send {
        /// KIND/KEY, for example room/42.
        actor: ActorAddress,
        command: String,
        /// Arguments, JSON text.
        #[arg(default_value = "{}")]
        body: String,
        /// A repeat with the same id takes effect once; a UUID or any text.
        #[arg(long, value_name = "ID")]
        command_id: Option<String>,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show an actor's state.
    Get {
        actor: ActorAddress,
        /// `linearizable`: as it is now, told by its owner. `eventual`: some committed state, possibly a little
        /// old, from the store by whichever node is asked; also while the owner is away.
        #[arg(long, value_enum, default_value_t = Consistency::Linearizable)]
        consistency: Consistency,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Follow an actor's events.
    Watch {
        actor: ActorAddress,
        /// Only events after this one; without it, from the next event on.
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// List the actors of a kind.
    List {
        kind: ActorKind,
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Only keys after this one.
        #[arg(long)]
        after: Option<String>,
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// What a query may be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Consistency {
    Linearizable,
    Eventual,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Change fields of a policy; the others stay, null clears one.
    Set {
        /// An operation type, or * for all.
        #[arg(value_name = "TYPE", value_parser = parse_policy)]
        policy: ActorAddress,
        /// The fields to change, for example '{"concurrency":2}'.
        #[arg(value_name = "JSON")]
        patch: String,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show what is changed, by whom, and the policy in force.
    Get {
        /// An operation type, or * for all.
        #[arg(value_name = "TYPE", value_parser = parse_policy)]
        policy: ActorAddress,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// List the policies that are changed.
    List {
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Take all changes back: the policy is as the application says.
    Reset {
        /// An operation type, or * for all.
        #[arg(value_name = "TYPE", value_parser = parse_policy)]
        policy: ActorAddress,
        #[command(flatten)]
        client: ClientFlags,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// Run a local program for each step of operations of these types.
    ///
    /// It gets {operation, type, step, attempt, input, idempotencyKey} as JSON on standard input and prints
    /// its result, JSON or text. A payload of the operation is in a file, named by `payloadFile` there and by
    /// SELVEDGE_PAYLOAD_FILE, which is deleted when the program ends. Exit code 75 and an end by a signal ask
    /// for another attempt; any other but 0 fails the operation with the last lines of standard error. With 75
    /// it may print {"retryAfterMs": N}: the next attempt begins no sooner.
    ///
    /// A cancel, and a second Ctrl-C or SIGTERM, end the program and all that it has started: SIGTERM, five
    /// seconds later SIGKILL. A worker that is killed itself (SIGKILL) can end nothing: its program runs on
    /// and its payload stays, while the step is given to another worker. What it prints then goes nowhere, so
    /// nothing is told twice; what it does elsewhere should go by the idempotencyKey. On Linux `-- setpriv
    /// --pdeathsig KILL COMMAND` makes a program end with its worker.
    Run(WorkerRun),
}

#[derive(Debug, Args)]
pub(crate) struct WorkerRun {
    /// An operation type that no node has code for; may be repeated.
    #[arg(long = "type", value_name = "TYPE", required = true)]
    pub(crate) types: Vec<OperationType>,
    /// Programs at a time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) capacity: u32,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Read the configuration as `start` would, and print it or what is wrong with it.
    Check(NodeFlags),
}

/// The address of the policy of an operation type.
pub(crate) fn parse_policy(text: &str) -> Result<ActorAddress, String> {
    if text != "*" {
        OperationType::new(text).map_err(|error| format!("{error}, or * for all types"))?;
    }
    format!("policy/{text}")
        .parse()
        .map_err(|error| format!("{error}"))
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err(format!("{text:?} is not a label: use NAME=VALUE")),
    }
}
