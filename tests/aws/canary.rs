//! The canary of the Lambda example, as it goes out in production: 10 % for ten minutes, then all, and back by
//! itself above 1 % errors. The file, the engine and every adapter are the real ones; only the time is not, as
//! CloudWatch is judged in whole minutes.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tidegate::{
    config,
    domain::record::Holder,
    engine::{Engine, Options, Timing, stop::Stop},
    port::{Clock, Silent, clock::SystemClock},
};

use crate::double::{Double, REGION, cloudwatch::metric, environment};

/// 12:00:20 of some day.
const BEGIN: i64 = 1_767_268_820;
/// Its version, and the shares of others.
type Alias = (String, Vec<(String, f64)>);

fn alias(double: &Double, function: &str) -> Alias {
    double.state().lambda.alias(function, "production")
}

/// Between two looks of a watch of ten minutes.
const POLL: Duration = Duration::from_secs(30);
/// What such a pause takes: a little more, as pauses do.
const TAKEN: Duration = Duration::from_millis(31_600);
const LIMIT: Duration = Duration::from_secs(20);

/// Time passes with pauses only: at once with those between two looks, which CloudWatch notices; as it is with
/// shorter ones and with deadlines, which no call here comes to.
struct Between {
    double: Arc<Double>,
    real: SystemClock,
    passed: Mutex<Duration>,
    /// How the alias of `thumbs` stood in these pauses, and for how long.
    stood: Mutex<Vec<(Alias, Duration)>>,
    /// Each question for the time is a nanosecond later, so that no deadline is as long as a pause.
    asked: AtomicU64,
}

impl Between {
    fn begin(double: &Arc<Double>) -> Arc<Between> {
        let clock = Between {
            double: double.clone(),
            real: SystemClock::default(),
            passed: Mutex::default(),
            stood: Mutex::default(),
            asked: AtomicU64::new(0),
        };
        clock.pass(Duration::ZERO);
        Arc::new(clock)
    }

    /// Remembers how the alias stands for the pause that begins.
    fn note(&self) {
        let alias = alias(&self.double, "thumbs");
        let mut stood = self.stood.lock().unwrap_or_else(PoisonError::into_inner);
        match stood.last_mut().filter(|(last, _)| *last == alias) {
            Some((_, time)) => *time += TAKEN,
            None => stood.push((alias, TAKEN)),
        }
    }

    fn passed(&self) -> Duration {
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, time: Duration) {
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner) += time;
        self.double.state().cloudwatch.now = Some(BEGIN + i64::try_from(self.passed().as_secs()).unwrap());
    }
}

#[async_trait::async_trait]
impl Clock for Between {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::new(BEGIN, 0).unwrap() + self.passed()
    }

    fn elapsed(&self) -> Duration {
        self.passed() + Duration::from_nanos(self.asked.fetch_add(1, Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        if duration == POLL {
            self.note();
            self.pass(TAKEN);
            tokio::task::yield_now().await;
        } else {
            self.real.sleep(duration).await;
            self.pass(duration);
        }
    }
}

const FUNCTIONS: [&str; 2] = ["thumbs", "mail"];

/// How a rollout of version 2 ended.
#[derive(Debug)]
struct Ended {
    code: u8,
    said: String,
    aliases: [Alias; 2],
    stood: Vec<(Alias, Duration)>,
}

/// Rolls out in production. Version 1 fails once in a thousand times, version 2 this often in a hundred, as soon
/// as it is asked.
async fn rolled_out(failures: f64) -> Ended {
    let double = Arc::new(Double::start());
    {
        let mut state = double.state();
        state.s3.bucket("shop-releases");
        for function in FUNCTIONS {
            state.lambda.function(function, "v1", "production");
            let resource = format!("{function}:production");
            // by what the alias gives each of them
            for (version, calls, percent) in [("1", 9000.0, 0.1), ("2", 1000.0, failures)] {
                let of = |name| {
                    let dimensions = [
                        ("FunctionName", function),
                        ("Resource", resource.as_str()),
                        ("ExecutedVersion", version),
                    ];
                    metric("AWS/Lambda", name, &dimensions)
                };
                state.cloudwatch.steady(of("Invocations"), calls);
                state.cloudwatch.steady(of("Errors"), percent / 100.0 * calls);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("dist")).unwrap();
    for function in FUNCTIONS {
        std::fs::write(folder.path().join(format!("dist/{function}.zip")), "v2").unwrap();
    }
    let file = folder.path().join("tidegate.yml");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/lambda/tidegate.yml");
    let mut text = std::fs::read_to_string(example).unwrap();
    // where AWS is; CloudWatch is where the functions are
    let here = format!("aws: {{region: {REGION}, endpoint: '{}'}}", double.url);
    for place in ["bucket: shop-releases", "alias: production"] {
        assert_eq!(text.matches(place).count(), 1, "{text}");
        text = text.replace(place, &format!("{place}, {here}"));
    }
    std::fs::write(&file, text).unwrap();
    let variables = environment(&double.url);
    let env =
        move |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let config = config::load(&file, &"production".parse().unwrap(), Arc::new(env));
    let unit = config.and_then(|config| config.connect()).map_err(|failure| failure.to_string()).unwrap();

    let clock = Between::begin(&double);
    let holder = Holder { run: "run-1".into(), process: "p1".into(), ..Holder::default() };
    let options = Options { release: Some("v2".parse().unwrap()), ..Options::default() };
    let timing = Timing { call: LIMIT, said: true, ..Timing::default() };
    let engine = Engine::new(&unit, clock.clone(), holder, &Silent, Stop::never(), options, timing);
    let ended = engine.rollout(None, false, None).await;
    let (code, said) = match ended {
        Ok(done) => (0, done.sentence),
        Err(failure) => (failure.exit_code(), failure.to_string()),
    };
    let stood = clock.stood.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ended { code, said, aliases: FUNCTIONS.map(|function| alias(&double, function)), stood }
}

const MINUTE: Duration = Duration::from_secs(60);

fn canary() -> Alias {
    ("1".into(), vec![("2".into(), 0.1)])
}

#[tokio::test]
async fn a_good_version_gets_a_tenth_for_ten_minutes_and_then_everything() {
    for failures in [0.1, 1.0] {
        let ended = rolled_out(failures).await;
        assert_eq!(ended.code, 0, "{ended:#?}");
        let all = ("1".to_string(), vec![("2".to_string(), 1.0)]);
        assert_eq!(ended.aliases, [all.clone(), all.clone()], "{ended:#?}");
        let stood: Vec<&Alias> = ended.stood.iter().map(|(alias, _)| alias).collect();
        assert_eq!(stood, [&canary(), &all], "{ended:#?}");
        for (_, time) in &ended.stood {
            assert!((10 * MINUTE..11 * MINUTE).contains(time), "{ended:#?}");
        }
    }
}

#[tokio::test]
async fn a_version_with_more_than_one_percent_errors_is_taken_back_by_itself() {
    // what may be chance takes longer to be told from it
    for (failures, within) in [(1.8, 10 * MINUTE), (40.0, 5 * MINUTE)] {
        let ended = rolled_out(failures).await;
        assert_eq!(ended.code, 10, "{ended:#?}");
        assert!(ended.said.contains("errors"), "{ended:#?}");
        let before = ("1".to_string(), vec![("2".to_string(), 0.0)]);
        assert_eq!(ended.aliases, [before.clone(), before], "{ended:#?}");
        // never above a tenth; what is glaring as soon as CloudWatch has a whole minute of it
        let [(stood, time)] = ended.stood.as_slice() else { panic!("{ended:#?}") };
        assert_eq!(stood, &canary());
        assert!(*time <= within, "{ended:#?}");
    }
}
