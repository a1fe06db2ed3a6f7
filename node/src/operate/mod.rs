//! Operating a node: the command line, the configuration, and the start-up list.

mod audit_table;
mod authority;
mod bench;
mod bridge;
mod bridge_table;
mod certificates;
mod cli;
mod commands;
mod config;
mod duration;
mod edge_table;
mod failure;
mod fdb_table;
mod free_port;
mod identity_table;
mod limits_table;
mod membership;
mod node;
mod origin;
mod others;
mod output;
mod peer;
mod peers_table;
mod ports;
mod privacy;
mod profile;
mod readiness;
mod session_table;
mod storage;
mod store;
mod tie;
mod tls_files;
mod verify;

use std::env::VarError;
use std::fmt::Display;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use selvedge_protocol::error::chain;
use tracing_subscriber::EnvFilter;

use crate::app::{Application, BuildError};
use cli::{Cli, Command, Config};
use failure::CommandFailure;
use output::Printer;

/// The whole of an application's `main`: parses the command line, does what it says, and returns the exit
/// code. `application` is called by the commands that run a node.
pub fn main(application: fn() -> Result<Application, BuildError>) -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(cli.output);
    let filter = match log_filter(&cli.command) {
        Ok(filter) => filter,
        Err(failure) => return failed(printer, &failure),
    };
    let has_colours = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(has_colours)
        .with_writer(std::io::stderr)
        .init();

    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.warn(&format!("error: threads cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(printer, application, cli.command));
    runtime.shutdown_timeout(commands::serve::EXIT_GRACE);
    store::database::stop();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(printer, &failure),
    }
}

fn failed(printer: Printer, failure: &CommandFailure) -> ExitCode {
    printer.warn(&format!("error: {}", failure.message));
    failure.exit_code()
}

/// What is logged: as the variable says, or what suits the command.
fn log_filter(command: &Command) -> Result<EnvFilter, CommandFailure> {
    let wrong = |said: &dyn Display| {
        CommandFailure::usage(format!(
            "{LOG}: {said}; use a level (error, warn, info, debug, trace) or TARGET=LEVEL, \
             separated by commas"
        ))
    };
    match std::env::var(LOG) {
        Ok(text) => EnvFilter::try_new(text).map_err(|error| wrong(&error)),
        Err(VarError::NotPresent) => Ok(EnvFilter::new(match command {
            Command::Start(_) | Command::Dev(_) | Command::Demo(_) => "warn",
            // Client commands say themselves what goes wrong.
            _ => "error",
        })),
        Err(error @ VarError::NotUnicode(_)) => Err(wrong(&error)),
    }
}

async fn run(
    printer: Printer,
    application: fn() -> Result<Application, BuildError>,
    command: Command,
) -> Result<(), CommandFailure> {
    match command {
        Command::Demo(demo) => commands::demo::run(printer, build(application)?, demo).await,
        Command::Dev(dev) => commands::serve::dev(printer, dev, build(application)?).await,
        Command::Start(start) => commands::serve::start(printer, start, build(application)?).await,
        Command::Op(op) => commands::op::run(printer, op).await,
        Command::Why(why) => commands::op::explain(printer, why).await,
        Command::Schedule(schedule) => commands::schedule::run(printer, schedule).await,
        Command::Actor(actor) => commands::actor::run(printer, actor).await,
        Command::Policy(policy) => commands::policy::run(printer, policy).await,
        Command::Limit(limit) => commands::limit::run(printer, limit).await,
        Command::Worker(worker) => commands::worker::run(printer, worker).await,
        Command::Cluster(cluster) => commands::cluster::run(printer, cluster).await,
        Command::Config(Config::Check(flags)) => {
            drop(build(application)?);
            commands::config::check(printer, &flags)
        }
        Command::Audit(audit) => commands::audit::run(printer, audit).await,
        Command::User(user) => commands::user::user(printer, user).await,
        Command::Role(role) => commands::directory::role(printer, role).await,
        Command::Token(token) => commands::token::token(printer, token).await,
        Command::Key(key) => commands::directory::key(printer, key).await,
        Command::Session(session) => commands::directory::session(printer, session).await,
        Command::Subject(subject) => commands::subject::run(printer, subject).await,
        Command::Backup(backup) => commands::backup::run(printer, backup).await,
        Command::Bench(bench) => bench::run(printer, build(application)?, bench).await,
        Command::Verify(flags) => verify::run(printer, flags).await,
        Command::Completions { shell } => {
            printer.completions(shell, &mut Cli::command());
            Ok(())
        }
    }
}

fn build(
    application: fn() -> Result<Application, BuildError>,
) -> Result<Application, CommandFailure> {
    application().map_err(|error| match &error {
        BuildError::Setting { .. } => CommandFailure::usage(chain(&error)),
        BuildError::Name(_)
        | BuildError::Twice(_)
        | BuildError::Policy { .. }
        | BuildError::Retention(_) => CommandFailure::failed(chain(&error)),
    })
}

/// The variable that says what is logged.
pub(crate) const LOG: &str = "SELVEDGE_LOG";
