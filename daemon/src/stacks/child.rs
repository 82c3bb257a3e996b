//! The child that looks into programs: their files are the containers', and whatever a damaged or hostile one does to
//! a parser, or how long it lets a reader wait, happens there. A line asks for the names of addresses of one process,
//! or of the kernel; as many lines answer.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    num::NonZeroU32,
};

use blazesym::{
    MaybeDefault, Pid,
    symbolize::{
        Input, Symbolized, Symbolizer,
        source::{Elf, Kernel, Process, Source},
    },
};
use caps::{CapSet, Capability, CapsHashSet};

use super::{NAME_MAX, UNKNOWN};
use crate::decode::text::printable;
use crate::host::proc;

/// The hidden subcommand of `remora`.
pub const COMMAND: &str = "symbolize";
/// Mappings of a process that are looked at; the kernel's own bound is lower as a rule.
const MAPPINGS: usize = 100_000;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Addresses of a program that a process runs, told from others by where its stack begins.
    User {
        pid: u32,
        image: u64,
        addresses: Vec<u64>,
    },
    Kernel {
        addresses: Vec<u64>,
    },
}

impl Request {
    pub fn addresses(&self) -> &[u64] {
        match self {
            Self::User { addresses, .. } | Self::Kernel { addresses } => addresses,
        }
    }

    pub fn line(&self) -> String {
        let mut line = match self {
            Self::User { pid, image, .. } => format!("user {pid:x} {image:x}"),
            Self::Kernel { .. } => "kernel".to_owned(),
        };
        self.addresses().iter().for_each(|a| line += &format!(" {a:x}"));
        line + "\n"
    }

    fn parse(line: &str) -> Option<Self> {
        let (what, rest) = line.split_once(' ')?;
        let mut numbers = rest.split(' ').map(|n| u64::from_str_radix(n, 16).ok());
        if what == "kernel" {
            return Some(Self::Kernel { addresses: numbers.collect::<Option<_>>()? });
        }
        let (pid, image) = (u32::try_from(numbers.next()??).ok()?, numbers.next()??);
        Some(Self::User { pid, image, addresses: numbers.collect::<Option<_>>()? })
    }
}

/// The child's work, until nobody asks any more.
pub fn child() -> io::Result<()> {
    drop_capabilities();
    let names = Names::new();
    for line in io::stdin().lock().lines() {
        let request = Request::parse(&line?).ok_or(io::ErrorKind::InvalidInput)?;
        let mut answer = String::new();
        for name in names.of(&request) {
            answer += cut(&printable(&name));
            answer.push('\n');
        }
        let mut out = io::stdout().lock();
        out.write_all(answer.as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

/// What reading other processes' maps, the files behind them and the kernel's symbols takes, and no more.
fn drop_capabilities() {
    use Capability::{
        CAP_CHECKPOINT_RESTORE, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SYSLOG,
    };
    let mine = caps::read(None, CapSet::Permitted).unwrap_or_default();
    // Before 5.9, or where only the other was given, map_files/ takes more.
    let files = if mine.contains(&CAP_CHECKPOINT_RESTORE) { CAP_CHECKPOINT_RESTORE } else { CAP_SYS_ADMIN };
    let needed = CapsHashSet::from([CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_SYSLOG, files]);
    let kept: CapsHashSet = needed.intersection(&mine).copied().collect();
    let sets =
        [(CapSet::Inheritable, &CapsHashSet::new()), (CapSet::Effective, &kept), (CapSet::Permitted, &kept)];
    for (set, kept) in sets {
        // What cannot be dropped is none of the child's doing.
        let _ = caps::set(None, set, kept);
    }
}

fn cut(name: &str) -> &str {
    let end = (0..=NAME_MAX.min(name.len())).rev().find(|i| name.is_char_boundary(*i));
    &name[..end.unwrap_or(0)]
}

struct Names(Symbolizer);

impl Names {
    fn new() -> Self {
        let symbols = Symbolizer::builder().enable_code_info(false).enable_inlined_fns(false);
        Self(symbols.build())
    }

    fn of(&self, request: &Request) -> Vec<String> {
        match request {
            Request::Kernel { addresses } => self.of_kernel(addresses),
            Request::User { pid, image, addresses } => {
                let is_same = || proc::stack_start(*pid).is_ok_and(|start| start == *image);
                // Looked at before and after: another program may have been executed meanwhile.
                let names = is_same().then(|| self.of_process(*pid, addresses)).filter(|_| is_same());
                names.unwrap_or_else(|| vec![UNKNOWN.to_owned(); addresses.len()])
            }
        }
    }

    fn of_kernel(&self, addresses: &[u64]) -> Vec<String> {
        if kernel_is_hidden() {
            return vec![UNKNOWN.to_owned(); addresses.len()];
        }
        let kernel = Kernel { vmlinux: MaybeDefault::None, debug_syms: false, ..Kernel::default() };
        let found = self.0.symbolize(&Source::Kernel(kernel), Input::AbsAddr(addresses));
        let found = found.unwrap_or_default();
        (0..addresses.len()).map(|i| name(found.get(i)).unwrap_or(UNKNOWN).to_owned()).collect()
    }

    fn of_process(&self, pid: u32, addresses: &[u64]) -> Vec<String> {
        let mappings = mappings(pid, addresses).unwrap_or_default();
        let mut names = vec![UNKNOWN.to_owned(); addresses.len()];
        let mut by_mapping: HashMap<usize, Vec<usize>> = HashMap::new();
        for (i, address) in addresses.iter().enumerate() {
            if let Some(m) = mappings.iter().position(|m| (m.start..m.end).contains(address)) {
                by_mapping.entry(m).or_default().push(i);
            }
        }
        for (m, wanted) in by_mapping {
            let mapping = &mappings[m];
            let mine: Vec<u64> = wanted.iter().map(|i| addresses[*i]).collect();
            let found = if mapping.is_file() {
                self.of_file(pid, mapping, &mine)
            } else {
                self.of_memory(pid, &mine)
            };
            for (i, found) in wanted.into_iter().zip(found) {
                names[i] = found.unwrap_or_else(|| mapping.place_of(addresses[i]));
            }
        }
        names
    }

    fn of_file(&self, pid: u32, mapping: &Mapping, addresses: &[u64]) -> Vec<Option<String>> {
        let nothing = vec![None; addresses.len()];
        let path = format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end);
        // A device's file is not to be opened by who only wants to read.
        if !std::fs::metadata(&path).is_ok_and(|m| m.is_file()) {
            return nothing;
        }
        let mut elf = Elf::new(path);
        elf.debug_syms = false;
        let offsets: Vec<u64> = addresses.iter().map(|a| mapping.offset_of(*a)).collect();
        match self.0.symbolize(&Source::Elf(elf), Input::FileOffset(&offsets)) {
            Ok(found) => found.iter().map(|s| name(Some(s)).map(str::to_owned)).collect(),
            Err(_) => nothing,
        }
    }

    /// Code that is in no file: the kernel's vDSO, and what a compiler at run time wrote down in a perf map.
    fn of_memory(&self, pid: u32, addresses: &[u64]) -> Vec<Option<String>> {
        let Some(pid) = NonZeroU32::new(pid) else { return vec![None; addresses.len()] };
        let mut process = Process::new(Pid::Pid(pid));
        process.debug_syms = false;
        let source = Source::Process(process);
        let one = |address: &u64| {
            let found = self.0.symbolize_single(&source, Input::AbsAddr(*address)).ok();
            name(found.as_ref()).map(str::to_owned)
        };
        addresses.iter().map(one).collect()
    }
}

/// Whom it does not tell where its functions are, the kernel tells that all are at 0; a few may be even so.
pub fn kernel_is_hidden() -> bool {
    let Ok(file) = File::open("/proc/kallsyms") else { return true };
    let mut lines = BufReader::new(file).split(b'\n').take(100).map_while(Result::ok);
    !lines.any(|line| line.iter().take_while(|b| **b != b' ').any(|b| *b != b'0'))
}

fn name<'s>(symbol: Option<&'s Symbolized<'_>>) -> Option<&'s str> {
    symbol.and_then(Symbolized::as_sym).map(|s| s.name.as_ref()).filter(|n| !n.is_empty())
}

/// A line of a process's `maps`.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    start: u64,
    end: u64,
    offset: u64,
    path: String,
}

impl Mapping {
    fn parse(line: &str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        // Permissions, offset, device, inode, and behind blanks the path, which may have some, too.
        let mut words = rest.splitn(5, ' ');
        let offset = hex(words.nth(1)?)?;
        let path = words.nth(2).unwrap_or_default().trim_start();
        Some(Self { start: hex(start)?, end: hex(end)?, offset, path: path.to_owned() })
    }

    fn is_file(&self) -> bool {
        self.path.starts_with('/')
    }

    fn offset_of(&self, address: u64) -> u64 {
        (address - self.start).saturating_add(self.offset)
    }

    /// What stands for a function without a name.
    fn place_of(&self, address: u64) -> String {
        let path = self.path.strip_suffix(" (deleted)").unwrap_or(&self.path);
        let module = path.rsplit('/').next().unwrap_or_default();
        if self.is_file() { format!("{module}!{:#x}", self.offset_of(address)) } else { UNKNOWN.to_owned() }
    }
}

/// Those of a process's mappings that have one of these addresses.
fn mappings(pid: u32, addresses: &[u64]) -> io::Result<Vec<Mapping>> {
    let file = File::open(format!("/proc/{pid}/maps"))?;
    let mut lines = BufReader::new(file.take(64 << 20)).split(b'\n');
    let mut out = Vec::new();
    for line in lines.by_ref().take(MAPPINGS) {
        let line = line?;
        let Some(mapping) = Mapping::parse(&String::from_utf8_lossy(&line)) else { continue };
        if addresses.iter().any(|a| (mapping.start..mapping.end).contains(a)) {
            out.push(mapping);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_pipe() {
        let user = Request::User { pid: 77, image: 0x7fff_0000, addresses: vec![1, 0xffff_ffff_ffff_ffff] };
        for request in [user, Request::Kernel { addresses: vec![2] }] {
            assert_eq!(Request::parse(request.line().trim_end()), Some(request));
        }
        for bad in ["", "user", "user 1", "user 1 x", "kernel g", "user fffffffff 1 1"] {
            assert_eq!(Request::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn mappings_are_read_with_their_paths() {
        let line = "5581a000-5582b000 r-xp 00002000 fd:01 1234                       /bin/a b (deleted)";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!((mapping.start, mapping.end, mapping.offset), (0x5581_a000, 0x5582_b000, 0x2000));
        assert!(mapping.is_file());
        assert_eq!(mapping.place_of(0x5581_a010), "a b!0x2010");
        let anonymous = Mapping::parse("1000-2000 rwxp 00000000 00:00 0 ").unwrap();
        assert_eq!((anonymous.is_file(), anonymous.place_of(0x1000)), (false, UNKNOWN.to_owned()));
    }

    #[test]
    fn names_are_cut_between_characters() {
        let long = "ü".repeat(NAME_MAX);
        assert!(cut(&long).len() <= NAME_MAX);
        assert_eq!(cut("short"), "short");
    }

    #[inline(never)]
    fn a_function_to_be_found() -> u64 {
        std::hint::black_box(77)
    }

    #[test]
    fn our_own_functions_have_names() {
        assert_eq!(a_function_to_be_found(), 77);
        let pid = std::process::id();
        let image = proc::stack_start(pid).unwrap();
        let request = |image| Request::User {
            pid,
            image,
            addresses: vec![a_function_to_be_found as *const () as u64, 0x10],
        };
        let names = Names::new().of(&request(image));
        assert!(names[0].contains("a_function_to_be_found"), "{names:?}");
        assert_eq!(names[1], UNKNOWN);
        assert_eq!(Names::new().of(&request(image + 16))[0], UNKNOWN);
    }
}
