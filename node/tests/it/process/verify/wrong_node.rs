//! The demo application with one kind that does not do what it should, as a program: `selvedge verify` has to find
//! it out. The variable `WRONG` says how: `loses`, `doubles` or `forgets`. The node itself is as it always is.

use std::process::ExitCode;

use bytes::Bytes;
use selvedge_cluster::actor::{Context, Effects, Incoming, Kind, Refusal};
use selvedge_node::Application;
use selvedge_node::app::BuildError;
use selvedge_node::demo_app::{Counter, DigestHandler, Register, Registered};
use selvedge_node::processing::Policy;
use selvedge_node::processing::builtin::saga::SagaHandler;

/// Before this many changes everything is as it should be.
const PATIENCE: u64 = 20;

/// How it is wrong.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    /// Acknowledges an append that it does not keep.
    Loses,
    /// Appends twice what was to be appended once.
    Doubles,
    /// Keeps an append in memory and not in the store.
    Forgets,
}

/// The register, wrong.
#[derive(Debug)]
struct WrongRegister(Wrong);

impl Kind for WrongRegister {
    type State = Registered;

    const NAME: &'static str = "register";

    fn apply(
        &self,
        state: &mut Registered,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        let is_wrong = command.name == "append" && context.seq >= PATIENCE;
        match self.0 {
            Wrong::Loses if is_wrong => {
                let effects = Register.apply(&mut state.clone(), context, command)?;
                Ok(Effects {
                    events: Vec::new(),
                    ..effects
                })
            }
            Wrong::Doubles if is_wrong => {
                let first = Register.apply(state, context, command)?;
                let second = Register.apply(state, context, command)?;
                Ok(Effects {
                    events: [first.events, second.events].concat(),
                    ..first
                })
            }
            Wrong::Loses | Wrong::Doubles | Wrong::Forgets => {
                Register.apply(state, context, command)
            }
        }
    }

    fn query(&self, state: &Registered, name: &str, body: &[u8]) -> Result<Bytes, Refusal> {
        Register.query(state, name, body)
    }

    fn view(&self, state: &Registered) -> Bytes {
        Register.view(state)
    }

    fn encode(&self, state: &Registered) -> Bytes {
        match self.0 {
            Wrong::Loses | Wrong::Doubles => Register.encode(state),
            Wrong::Forgets => {
                let mut stored = state.clone();
                stored.items.pop_back();
                Register.encode(&stored)
            }
        }
    }

    fn decode(&self, format: u8, bytes: &[u8]) -> Result<Registered, String> {
        Register.decode(format, bytes)
    }
}

fn application() -> Result<Application, BuildError> {
    let wrong = match std::env::var("WRONG").as_deref() {
        Ok("doubles") => Wrong::Doubles,
        Ok("forgets") => Wrong::Forgets,
        Ok(_) | Err(_) => Wrong::Loses,
    };
    Application::builder()
        .kind(WrongRegister(wrong))
        .kind(Counter)
        .operation("digest", DigestHandler::default(), Policy::default())
        .operation("saga", SagaHandler, Policy::default())
        .build()
}

fn main() -> ExitCode {
    selvedge_node::main(application)
}
