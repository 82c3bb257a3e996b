//! `remora install-runtime` and `remora uninstall-runtime`

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::bail;

use crate::decode::text::printable;
use crate::setup::{Options, Runtime, Work};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: Options,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
}

pub fn install(args: &Args) -> anyhow::Result<()> {
    let work = Work::install(&args.options)?;
    let name = args.options.runtime.name();
    if work.changes.is_empty() {
        if !args.dry_run {
            work.apply(&args.options)?;
        }
        println!("nothing to do: {name} knows remora already");
    } else if go_on(args, &work)? {
        work.apply(&args.options)?;
        println!("{name} knows remora now. {}", after_install(&args.options));
    }
    Ok(())
}

pub fn uninstall(args: &Args) -> anyhow::Result<()> {
    let work = Work::uninstall(&args.options)?;
    let name = args.options.runtime.name();
    if work.changes.is_empty() {
        for note in &work.notes {
            println!("{note}");
        }
        if !args.dry_run {
            work.apply(&args.options)?;
        }
        println!("nothing to do: {name} knows nothing of remora");
    } else if go_on(args, &work)? {
        work.apply(&args.options)?;
        println!("{name} has forgotten remora. {}", after_uninstall(args.options.runtime));
    }
    Ok(())
}

/// Shows what would change, and asks.
fn go_on(args: &Args, work: &Work) -> anyhow::Result<bool> {
    let mut out = io::stdout();
    for line in work.diff().lines() {
        // Blanks of the file are blanks here; whatever else could move a cursor is not.
        let cells: Vec<_> = line.split('\t').map(|cell| printable(cell).to_string()).collect();
        writeln!(out, "{}", cells.join("\t"))?;
    }
    for note in &work.notes {
        writeln!(out, "{note}")?;
    }
    if args.dry_run || args.yes {
        return Ok(args.yes && !args.dry_run);
    }
    if !io::stdin().is_terminal() {
        bail!("nothing was changed: there is nobody to ask, and --yes was not given");
    }
    write!(out, "Change this? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let yes = matches!(answer.trim(), "y" | "Y" | "yes");
    if !yes {
        println!("nothing was changed");
    }
    Ok(yes)
}

fn after_install(options: &Options) -> String {
    let wrapper = options.etc_dir.join("guarded-runtime");
    match options.runtime {
        Runtime::Podman => "The next container has it; nothing needs a restart.".to_owned(),
        Runtime::Crio => "To take effect: systemctl reload crio".to_owned(),
        Runtime::Containerd if options.default => "To take effect: systemctl restart containerd".to_owned(),
        Runtime::Containerd => {
            "To take effect: systemctl restart containerd, and a RuntimeClass whose handler is \
             `remora`. After an upgrade of containerd, run this again."
                .to_owned()
        }
        Runtime::ContainerdNri => "To take effect: systemctl restart containerd".to_owned(),
        Runtime::Docker if options.default => "To take effect: systemctl restart docker".to_owned(),
        Runtime::Docker => {
            "To take effect: systemctl restart docker; then docker run --runtime remora …".to_owned()
        }
        Runtime::Nerdctl => {
            let (nerdctl, ctr) = ("nerdctl run --runtime", "ctr run --runc-binary");
            format!("They have no configuration for it: {nerdctl} {0} …, {ctr} {0} …", wrapper.display())
        }
    }
}

fn after_uninstall(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Podman => "The binaries may go once no other manager needs them.",
        Runtime::Crio => "First systemctl reload crio; then the binaries may go.",
        Runtime::Containerd | Runtime::ContainerdNri => {
            "First systemctl restart containerd; then the binaries may go. Pods of the runtime class go on as they are."
        }
        Runtime::Docker => {
            "First systemctl restart docker; then the binaries may go. Containers made with --runtime remora must be \
             made anew."
        }
        Runtime::Nerdctl => "The binaries may go. Containers made with guarded-runtime must be made anew.",
    }
}
