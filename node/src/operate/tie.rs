//! The tie between a command and the nodes that it starts: standard input of each is a pipe of the command. When it
//! ends, the node ends at once, so that the death of the command, however it dies, leaves nothing running.

use std::process::Stdio;

use clap::Args;
use tokio::process::{Child, ChildStdin, Command};

use crate::operate::failure::CommandFailure;
use crate::operate::output::say;

/// The end of the node.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Tied {
    /// End when standard input does: it is a pipe of the command that started this node, and ends with it.
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

impl Tied {
    /// Ends the process at once when the one that started it is gone, if it is tied to one: nobody else would end
    /// it. What it acknowledged is durable; nothing else is owed.
    pub(crate) fn hold(self) -> Result<(), CommandFailure> {
        if !self.end_with_stdin {
            return Ok(());
        }
        // A thread of its own: the runtime would wait for it at the end.
        let watch = std::thread::Builder::new().name("stdin".to_owned());
        let watching = watch.spawn(|| {
            let ended = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            say(&match ended {
                Ok(_) => "error: the command that started this node is gone".to_owned(),
                Err(error) => format!("error: standard input cannot be read: {error}"),
            });
            std::process::exit(1);
        });
        watching
            .map(drop)
            .map_err(|error| CommandFailure::failed(format!("a thread cannot be started: {error}")))
    }
}

/// The end of the command.
#[derive(Debug)]
pub(crate) struct Tie {
    /// Closed when this process ends.
    _input: Option<ChildStdin>,
}

impl Tie {
    /// Makes the node that a command starts end with this process; call it after the subcommand is set.
    pub(crate) fn prepare(command: &mut Command) {
        command.arg("--end-with-stdin").stdin(Stdio::piped());
    }

    /// Takes this process's end from a node that was started so. Whoever holds the node keeps it: to wait for a
    /// child would close it.
    pub(crate) fn of(child: &mut Child) -> Self {
        Self {
            _input: child.stdin.take(),
        }
    }
}
