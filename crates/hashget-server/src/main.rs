//! The `hashget-server` program: arguments in, a server that runs until it is told to stop.
//!
//! Invariant: only this file touches the terminal, signals and exit codes.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hashget::wording::messages;
use hashget_server::{Clock, Scope, Server, ServerDb, Settings};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Serve what is known about public packages to many machines
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Folder of everything that the server keeps
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Settings [default: server.toml in the folder, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Write the log as lines of JSON
    #[arg(long)]
    json: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add, list and remove tokens
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Add a token and print it; it is not kept, and cannot be printed again
    Add {
        /// What it is called
        name: String,
        /// What it may do: read, submit (and read), or admin (and everything)
        #[arg(long, default_value = "read")]
        scope: Scope,
    },
    /// List all tokens
    List,
    /// Remove a token, which is refused from now on
    Remove {
        /// What it is called
        name: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Some(Command::Token(command)) => manage_tokens(&arguments, command),
        None => serve(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = messages(error.as_ref()).join(": ");
            // Nobody is left to tell if this fails.
            drop(writeln!(std::io::stderr(), "hashget-server: {text}"));
            ExitCode::FAILURE
        }
    }
}

fn manage_tokens(arguments: &Arguments, command: &TokenCommand) -> anyhow::Result<()> {
    let server_db = ServerDb::open(&arguments.data)?;
    let mut output = std::io::stdout().lock();
    match command {
        TokenCommand::Add { name, scope } => {
            let secret = server_db.add_token(name, *scope, Clock::system().now())?;
            writeln!(output, "{secret}")?;
        }
        TokenCommand::List => {
            for token in server_db.tokens()? {
                let added = jiff::Timestamp::from_second(token.added_at)?.strftime("%Y-%m-%d");
                writeln!(output, "{:<6}  {added}  {}", token.scope.to_string(), token.name)?;
            }
        }
        TokenCommand::Remove { name } => {
            anyhow::ensure!(server_db.remove_token(name)?, "there is no token \"{name}\"");
        }
    }
    Ok(())
}

fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    // Standard error is where journals look.
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    if arguments.json {
        log.json().init();
    } else {
        log.with_target(false).init();
    }
    let beside_data = arguments.data.join("server.toml");
    let settings = match &arguments.config {
        Some(file) => Settings::read(file)?,
        None if beside_data.exists() => Settings::read(&beside_data)?,
        None => Settings::default(),
    };
    allow_many_files();
    let server = Server::open(&arguments.data, settings, Clock::system())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen)
            .await
            .with_context(|| format!("cannot listen on {}", arguments.listen))?;
        tracing::info!(address = %listener.local_addr()?, "serving");
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
        };
        server.serve(listener, stop).await;
        Ok(())
    })
}

/// Each connection is a file: as many as the system allows.
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = rustix::process::Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(%error, "the number of open files cannot be raised");
    }
}
