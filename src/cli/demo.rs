//! `demo`

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{Common, app, screen};
use crate::{
    demo::{
        acts::{self, Ending, Play},
        service::{self, Options},
    },
    engine::stop,
    error::{Failure, Told},
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Drive the HAProxy on PATH instead of the one built in
    #[arg(long)]
    haproxy: bool,
    /// The folder that the demo writes
    #[arg(long, default_value = "tidegate-demo", value_name = "DIR")]
    dir: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(clap::Subcommand)]
enum Part {
    /// The shop itself, one version on one side; started by the demo's deploy script
    #[command(hide = true)]
    Serve {
        #[arg(long)]
        side: String,
        #[arg(long)]
        running: String,
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        fails: f64,
        /// Ends when this process has ended.
        #[arg(long)]
        beside: u32,
    },
}

const LATENCY: Duration = Duration::from_millis(4);

pub(super) fn run(args: &Args, common: &Common) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return screen::fail("demo", common, &Failure::Bug(error.to_string())),
    };
    let result = runtime.block_on(async {
        match &args.part {
            Some(Part::Serve { side, running, listen, fails, beside }) => {
                serve(side, running, *listen, *fails, *beside).await.map(|()| Ending::Played)
            }
            None => {
                let program = std::env::current_exe()?;
                let play = Play { directory: args.dir.clone(), haproxy: args.haproxy, program };
                let (stopper, stop) = stop::pair();
                app::listen(stopper);
                acts::play(&play, &stop).await
            }
        }
    });
    match result {
        Ok(Ending::Played) => 0,
        Ok(Ending::Interrupted(signal)) => {
            let told = Told::plain("all that the demo had started has ended; its folder is still there");
            screen::fail("demo", common, &Failure::Interrupted { signal, told })
        }
        Err(error) => screen::fail("demo", common, &Failure::usage(error.to_string())),
    }
}

async fn serve(
    side: &str,
    version: &str,
    listen: SocketAddr,
    fails: f64,
    beside: u32,
) -> std::io::Result<()> {
    let orphaned = end_of(beside)?;
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on {listen}: {version} on {side}");
    let options =
        Options { version: version.into(), side: side.into(), error_rate: fails, latency: LATENCY, seed: 7 };
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let end = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            () = orphaned => {}
        }
    };
    service::serve(options, listener, end).await;
    Ok(())
}

/// Resolves when the process has ended: a service of the demo never outlives it, however it went.
#[cfg(target_os = "linux")]
fn end_of(process: u32) -> std::io::Result<impl Future<Output = ()>> {
    use rustix::{
        event::{PollFd, PollFlags, poll},
        process::{Pid, PidfdFlags, pidfd_open},
    };
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let (sender, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        while poll(&mut [PollFd::new(&process, PollFlags::IN)], None) == Err(rustix::io::Errno::INTR) {}
        let _ = sender.send(());
    });
    Ok(async move {
        let _ = ended.await;
    })
}

#[cfg(not(target_os = "linux"))]
fn end_of(_: u32) -> std::io::Result<impl Future<Output = ()>> {
    Ok(std::future::pending())
}
