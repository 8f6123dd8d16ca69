//! Under load: not one request is lost while traffic moves, and it goes where the confirmed split says.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::Scope,
    time::Duration,
};
use tidegate::port::{Clock as _, clock::SystemClock};

use super::{
    process::{WATCHDOG, good},
    world::{BLUE_HAS_ALL, JOURNAL, Site, World},
};

const CLIENTS: usize = 16;
/// Requests that are looked at between two moves.
const SAMPLE: u64 = 40_000;
/// How many standard deviations of a fair coin the share may be off.
const SIGMAS: f64 = 5.0;

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    blue: u64,
    green: u64,
    lost: u64,
}

impl Seen {
    fn all(&self) -> u64 {
        self.blue + self.green + self.lost
    }
}

/// Requests from keep-alive clients, each at once after the one before.
#[derive(Default)]
struct Load {
    /// Everything, and what began and ended at the split that stands now.
    counts: Mutex<Counts>,
    more: Condvar,
    over: AtomicBool,
}

#[derive(Default)]
struct Counts {
    total: Seen,
    here: Seen,
    /// Changes whenever traffic begins or ends to move.
    period: u64,
    first_loss: Option<String>,
}

impl Load {
    fn begin<'a>(&'a self, scope: &'a Scope<'a, '_>, front: SocketAddr) {
        for _ in 0..CLIENTS {
            scope.spawn(move || {
                let mut client = None;
                while !self.over.load(Ordering::Relaxed) {
                    let period = self.counts.lock().unwrap().period;
                    let answer = request(&mut client, front);
                    self.count(period, answer);
                }
            });
        }
    }

    fn count(&self, period: u64, answer: Result<bool, String>) {
        let mut counts = self.counts.lock().unwrap();
        let same = counts.period == period;
        let one = match &answer {
            Ok(false) => Seen { blue: 1, ..Seen::default() },
            Ok(true) => Seen { green: 1, ..Seen::default() },
            Err(_) => Seen { lost: 1, ..Seen::default() },
        };
        let counts = &mut *counts;
        for seen in [Some(&mut counts.total), same.then_some(&mut counts.here)].into_iter().flatten() {
            seen.blue += one.blue;
            seen.green += one.green;
            seen.lost += one.lost;
        }
        if let Err(why) = answer {
            counts.first_loss.get_or_insert(why);
        }
        if counts.here.all() >= SAMPLE {
            self.more.notify_all();
        }
    }

    /// What the next requests see, as many as are needed.
    fn sample(&self) -> Seen {
        self.new_period();
        let counts = self.counts.lock().unwrap();
        let (counts, late) =
            self.more.wait_timeout_while(counts, WATCHDOG, |counts| counts.here.all() < SAMPLE).unwrap();
        assert!(!late.timed_out(), "the load came to a halt: {:?}", counts.here);
        counts.here
    }

    fn new_period(&self) {
        let mut counts = self.counts.lock().unwrap();
        counts.period += 1;
        counts.here = Seen::default();
    }
}

/// Whether green answered. Whatever is not a whole 200 is lost.
fn request(client: &mut Option<BufReader<TcpStream>>, front: SocketAddr) -> Result<bool, String> {
    let answer = exchange(client, front);
    if answer.is_err() {
        *client = None;
    }
    answer
}

fn exchange(client: &mut Option<BufReader<TcpStream>>, front: SocketAddr) -> Result<bool, String> {
    let text = |e: std::io::Error| e.to_string();
    let client = match client {
        Some(client) => client,
        None => {
            let stream = TcpStream::connect(front).map_err(text)?;
            stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(text)?;
            stream.set_nodelay(true).map_err(text)?;
            client.insert(BufReader::new(stream))
        }
    };
    client.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n").map_err(text)?;
    let (mut status, mut length, mut line) = (String::new(), 0, String::new());
    loop {
        line.clear();
        if client.read_line(&mut line).map_err(text)? == 0 {
            return Err(format!("the connection was closed after {status:?}"));
        }
        if status.is_empty() {
            status = line.trim().to_string();
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().map_err(|_| line.clone())?;
        } else if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).map_err(text)?;
    match (status.as_str(), body.as_slice()) {
        ("HTTP/1.1 200 OK", b"blue") => Ok(false),
        ("HTTP/1.1 200 OK", b"green") => Ok(true),
        _ => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
    }
}

#[test]
fn no_request_is_lost_and_each_goes_where_the_split_says() {
    let world = World::start();
    let config =
        format!("{}stages: [10% for 1s, 50% for 1s, 100% for 1s]\n{JOURNAL}", world.service(&world.socket()));
    let site = Site::new(&config);
    let (load, clock) = (Load::default(), SystemClock::default());
    std::thread::scope(|scope| {
        // Also when an assertion fails, so that the test ends.
        let _over = Over(&load.over);
        load.begin(scope, world.front());
        expect("before", load.sample(), 0.0);
        for (to, share) in [(10, 0.1), (50, 0.5), (100, 1.0)] {
            load.new_period();
            good(&mut site.tidegate(&format!("shift-traffic --to {to} --release v2 --hotfix load")));
            expect(&format!("at {to} %"), load.sample(), share);
        }
        load.new_period();
        good(&mut site.tidegate("rollback"));
        expect("rolled back", load.sample(), 0.0);
    });
    let seconds = clock.elapsed().as_secs_f64();
    let counts = load.counts.into_inner().unwrap();
    let total = counts.total;
    println!("{total:?} in {seconds:.1} s: {:.0} requests/s", total.all() as f64 / seconds);
    assert_eq!(total.lost, 0, "{:?}", counts.first_loss);
    assert_eq!(world.weights(), BLUE_HAS_ALL);
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn expect(when: &str, seen: Seen, share: f64) {
    let count = seen.all() as f64;
    let (expected, deviation) = (count * share, (count * share * (1.0 - share)).sqrt());
    let off = (seen.green as f64 - expected).abs();
    println!(
        "{when}: {seen:?}, {:.2} % on green, off by {off:.1} of {:.1}",
        seen.green as f64 / count * 100.0,
        SIGMAS * deviation
    );
    assert_eq!(seen.lost, 0, "{when}");
    assert!(off <= SIGMAS * deviation, "{when}: {seen:?} instead of {expected} on green");
}
