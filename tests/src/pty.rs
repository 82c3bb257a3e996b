//! A terminal of the test's own, with a program on it.

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

#[derive(Debug)]
pub struct Pty {
    master: File,
    /// Keeps the terminal when the program has gone.
    slave: OwnedFd,
    pub child: Child,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Pty {
    /// Starts a program on a terminal of this size.
    pub fn start(mut command: Command, columns: u16, lines: u16) -> Self {
        let (mut master, mut slave) = (0, 0);
        let size = size(columns, lines);
        // SAFETY: both descriptors are written, the rest may be null or is valid for the call.
        let rc =
            unsafe { libc::openpty(&mut master, &mut slave, std::ptr::null_mut(), std::ptr::null(), &size) };
        assert_eq!(rc, 0, "failed to open a terminal");
        // SAFETY: just opened, and nobody else's.
        let (master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        let stdio = || Stdio::from(slave.try_clone().expect("failed to duplicate"));
        command.stdin(stdio()).stdout(stdio()).stderr(stdio()).env("TERM", "xterm-256color");
        // SAFETY: two system calls on the child's own descriptors.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            })
        };
        let child = command.spawn().expect("failed to start the program");
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (mut reader, out) = (master.try_clone().expect("failed to duplicate"), written.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                out.lock().expect("a lock").extend_from_slice(&buffer[..n]);
            }
        });
        Self { master, slave, child, written }
    }

    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("failed to write");
    }

    pub fn resize(&self, columns: u16, lines: u16) {
        let size = size(columns, lines);
        // SAFETY: the request reads one winsize.
        let rc = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(rc, 0, "failed to set the size");
    }

    /// All that was written so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("a lock")).into_owned()
    }

    /// Waits until this stands on the screen.
    pub fn wait_for(&self, what: &str) {
        let end = std::time::Instant::now() + crate::patience();
        while !self.screen().contains(what) {
            assert!(std::time::Instant::now() < end, "no {what:?} on the screen:\n{}", self.screen());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// What stands on the screen, line by line: as a terminal makes it of what was written.
    pub fn screen(&self) -> String {
        let (mut lines, mut row, mut column) = (Vec::<Vec<char>>::new(), 0, 0);
        let text = self.text();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '\x1b' => {
                    let Some('[') = rest.next() else { continue };
                    let parameters: String = rest.by_ref().take_while(|c| !c.is_ascii_alphabetic()).collect();
                    // The final byte went with what was taken: it is the one before what is left.
                    let at = text.len() - rest.as_str().len() - 1;
                    match text.as_bytes()[at] {
                        b'H' => {
                            let mut numbers = parameters.split(';').map(|n| n.parse().unwrap_or(1));
                            row = numbers.next().unwrap_or(1usize).max(1) - 1;
                            column = numbers.next().unwrap_or(1usize).max(1) - 1;
                        }
                        b'J' => lines.clear(),
                        _ => {}
                    }
                }
                '\r' => column = 0,
                '\n' => row += 1,
                c => {
                    if lines.len() <= row {
                        lines.resize(row + 1, Vec::new());
                    }
                    if lines[row].len() <= column {
                        lines[row].resize(column + 1, ' ');
                    }
                    lines[row][column] = c;
                    column += 1;
                }
            }
        }
        let lines: Vec<String> = lines.iter().map(|l| l.iter().collect()).collect();
        lines.join("\n")
    }

    /// Whether lines are edited and echoed, as a shell leaves a terminal.
    pub fn is_cooked(&self) -> bool {
        // SAFETY: plain data, for which zeroes are valid.
        let mut mode: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: fills one termios.
        let rc = unsafe { libc::tcgetattr(self.slave.as_raw_fd(), &raw mut mode) };
        assert_eq!(rc, 0, "failed to read the terminal's mode");
        mode.c_lflag & (libc::ICANON | libc::ECHO) == libc::ICANON | libc::ECHO
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, lines: u16) -> libc::winsize {
    libc::winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
