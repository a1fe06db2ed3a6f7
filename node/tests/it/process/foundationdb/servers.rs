//! FoundationDB servers of a test's own, in a directory and on ports of its own. Killed when dropped.

use std::ffi::OsString;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::process::{run, text};

/// The directory with `fdbserver` and `fdbcli`, if there is one.
#[expect(
    clippy::print_stdout,
    reason = "a test that is not run says so to who runs the tests"
)]
pub(super) fn bin() -> Option<PathBuf> {
    let bin = std::env::var_os("SELVEDGE_TEST_FDB_BIN");
    if bin.is_none() {
        println!("not run: SELVEDGE_TEST_FDB_BIN names no directory with fdbserver and fdbcli");
    }
    bin.map(Into::into)
}

/// How a database is started.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// Certificate, key and authority in PEM files: it speaks TLS then.
    pub(super) tls: Option<[PathBuf; 3]>,
}

/// One database.
#[derive(Debug)]
pub(super) struct Servers {
    options: Options,
    dir: tempfile::TempDir,
    bin: PathBuf,
    file: PathBuf,
    ports: Vec<u16>,
    running: Vec<Option<Child>>,
}

impl Servers {
    /// So many processes with a new database, which has two copies of everything where there are several. `None`: there
    /// is no FoundationDB here.
    pub(super) fn start(count: usize) -> Option<Self> {
        Self::start_with(count, Options::default())
    }

    pub(super) fn start_with(count: usize, options: Options) -> Option<Self> {
        let bin = bin()?;
        let dir = tempfile::tempdir().unwrap();
        // FoundationDB speaks TCP; a port that is free for one is free for the other here.
        let held: Vec<UdpSocket> = (0..count)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        let ports: Vec<u16> = held.iter().map(port).collect();
        let addresses: Vec<String> = ports.iter().map(|port| options.address(*port)).collect();
        let file = dir.path().join("fdb.cluster");
        std::fs::write(&file, format!("test:test@{}", addresses.join(","))).unwrap();
        let mut servers = Self {
            options,
            dir,
            bin,
            file,
            running: ports.iter().map(|_| None).collect(),
            ports,
        };
        (0..count).for_each(|number| servers.start_again(number));
        let copies = match count {
            1 => "single",
            _ => "double",
        };
        let said = servers.cli(&format!("configure new {copies} memory"));
        assert!(said.contains("Database created"), "{said}");
        Some(servers)
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) const fn count(&self) -> usize {
        self.ports.len()
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.running[number].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(super) fn start_again(&mut self, number: usize) {
        self.start_knobbed(number, &[]);
    }

    /// The same with flags that change how it behaves.
    pub(super) fn start_knobbed(&mut self, number: usize, knobs: &[&str]) {
        let port = self.ports[number];
        let data = self.dir.path().join(port.to_string());
        let mut command = Command::new(self.bin.join("fdbserver"));
        command.arg("-C").arg(&self.file);
        command.arg("-p").arg(self.options.address(port));
        command.args(self.options.arguments()).args(knobs);
        // Each is a machine of its own, so that copies are on different ones.
        command.arg("-i").arg(format!("machine{number}"));
        command.arg("-d").arg(&data).arg("-L").arg(&data);
        command.args([
            "--knob_disable_posix_kernel_aio=1",
            "-m",
            "3GiB",
            "--cache-memory",
            "256MiB",
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        std::fs::create_dir_all(&data).unwrap();
        self.running[number] = Some(command.spawn().unwrap());
    }

    /// What `fdbcli` says to a command; waits until the database answers.
    pub(super) fn cli(&self, command: &str) -> String {
        let output = run(self.fdbcli().args(["--exec", command]));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{command}: {said}");
        said
    }

    /// Without the question that `fdbcli` asks a person.
    pub(super) fn unlock(&self) {
        self.cli(
            "writemode on; option on SPECIAL_KEY_SPACE_ENABLE_WRITES; clear \\xff\\xff/management/db_locked",
        );
    }

    fn fdbcli(&self) -> Command {
        let mut command = Command::new(self.bin.join("fdbcli"));
        command.arg("-C").arg(&self.file).args(["--timeout", "60"]);
        command.args(self.options.arguments());
        command.stdin(Stdio::null());
        command
    }
}

impl Options {
    fn address(&self, port: u16) -> String {
        let tls = self.tls.as_ref().map_or("", |_| ":tls");
        format!("127.0.0.1:{port}{tls}")
    }

    /// Both programs take the same flags.
    fn arguments(&self) -> Vec<OsString> {
        let flags = ["certificate", "key", "ca"].map(|of| format!("--tls-{of}-file").into());
        let files = self.tls.iter().flatten();
        let pairs = flags.into_iter().zip(files);
        pairs.flat_map(|(flag, file)| [flag, file.into()]).collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        (0..self.count()).for_each(|number| self.kill(number));
    }
}
