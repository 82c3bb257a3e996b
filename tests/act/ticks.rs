//! `act ticks RATE FILE`: closes descriptors that are not there, each time another number, about RATE a second,
//! until FILE is there; prints how many there were.

use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Far beyond every descriptor there is.
const FIRST: u32 = 1 << 24;
/// A thousandth of a second's worth at a time.
const PACE: Duration = Duration::from_millis(1);

pub fn run(args: &[String]) {
    let rate: u64 = args[0].parse().expect("no rate");
    let start = Instant::now();
    let mut done = 0;
    while !Path::new(&args[1]).exists() {
        let due = rate * start.elapsed().as_millis() as u64 / 1000;
        while done < due {
            // SAFETY: no such descriptor is open: nothing happens.
            unsafe { libc::close((FIRST + done as u32) as i32) };
            done += 1;
        }
        std::thread::sleep(PACE);
    }
    println!("{done}");
}
