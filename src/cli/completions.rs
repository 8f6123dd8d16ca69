//! `completions`

use clap_complete::Shell;

#[derive(clap::Args)]
pub(super) struct Args {
    shell: Shell,
}

pub(super) fn run(args: &Args, command: &mut clap::Command) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "tidegate", &mut script);
    // A reader that has seen enough closes the pipe.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
    0
}
