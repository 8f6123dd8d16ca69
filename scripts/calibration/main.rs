//! How often the judge alarms falsely, how early it finds harm, how often it proves that all is well: simulated
//! with its own code. `scripts/calibrate --help` tells how to run it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints tables")]

mod chart;
mod found;
mod nulls;
mod promises;
mod rivals;
mod tables;
mod watch;
mod world;

use std::{fs, path::PathBuf, process::ExitCode};

use tables::Table;
use watch::{Found, binomial_bound};
use world::{Errors, Ratios};

/// What the run was asked for.
struct Asked {
    runs: u64,
    seed: u64,
    out: PathBuf,
    check: bool,
    only: Option<String>,
}

const HELP: &str = "scripts/calibrate [--runs N] [--seed N] [--out FOLDER] [--only TABLE] [--quick] [--check]

Simulates watches and prints tables: false alarms, detection, latency, proof, forecast.
  --runs N       watches for each figure (4000)
  --seed N       the same seed has the same tables (1)
  --out FOLDER   where CSV and SVG go (a new one below the temporary folder)
  --only TABLE   false_alarms, quantiles, gauges, detection, latency, sharpest, proof or forecast
  --quick        400 watches for each figure
  --check        only asks whether what is promised is kept; ends with 1 where it is not";

fn asked() -> Result<Asked, String> {
    let mut asked = Asked {
        runs: 4000,
        seed: 1,
        out: std::env::temp_dir().join(format!("tidegate-calibration-{}", std::process::id())),
        check: false,
        only: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("`{text}` is no number"));
        match word.as_str() {
            "--runs" => asked.runs = number(value()?)?,
            "--seed" => asked.seed = number(value()?)?,
            "--out" => asked.out = value()?.into(),
            "--only" => asked.only = Some(value()?),
            "--quick" => asked.runs = 400,
            "--check" => asked.check = true,
            "--help" => return Err(HELP.into()),
            _ => return Err(format!("`{word}` is not known\n{HELP}")),
        }
    }
    Ok(asked)
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(words) => {
            println!("{words}");
            return ExitCode::from(if words == HELP { 0 } else { 2 });
        }
    };
    if asked.check {
        let promises = promises::all(asked.runs.min(1000), asked.seed);
        for promise in &promises {
            println!("{}  {}", if promise.kept { "kept  " } else { "BROKEN" }, promise.words);
        }
        return ExitCode::from(u8::from(promises.iter().any(|p| !p.kept)));
    }
    match tables(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("calibrate: {}: {error}", asked.out.display());
            ExitCode::FAILURE
        }
    }
}

fn tables(asked: &Asked) -> std::io::Result<()> {
    fs::create_dir_all(&asked.out)?;
    println!(
        "{} watches for each figure, seed {}; CSV and SVG in {}",
        asked.runs,
        asked.seed,
        asked.out.display()
    );
    type Make = fn(&Asked) -> Table;
    let makes: [(&str, Make); 7] = [
        ("false_alarms", false_alarms),
        ("quantiles", quantiles),
        ("gauges", gauges),
        ("latency", |a| found::latency(a.runs, a.seed)),
        ("sharpest", |a| found::sharpest(a.runs, a.seed)),
        ("proof", |a| found::proof(a.runs, a.seed)),
        ("forecast", |a| found::forecast(a.runs, a.seed)),
    ];
    let wanted = |name: &str| asked.only.as_deref().is_none_or(|only| only == name);
    for (_, make) in makes.iter().filter(|(name, _)| wanted(name)) {
        make(asked).write(&asked.out)?;
    }
    if wanted("detection") {
        let (table, svg) = found::detection(asked.runs, asked.seed);
        table.write(&asked.out)?;
        fs::write(asked.out.join("detection.svg"), svg)?;
    }
    Ok(())
}

/// A share, the most of it that chance would show once in a hundred tables, and a mark.
fn cells(runs: u64, alpha: f64, found: &Found) -> [String; 2] {
    let bound = binomial_bound(runs, alpha, 0.01);
    let mark = match found.count() {
        n if n > bound => " !",
        n if n as f64 > alpha * runs as f64 => " +",
        _ => "  ",
    };
    [format!("{:.4}{mark}", found.share()), format!("{:.4}", bound as f64 / runs as f64)]
}

const MARKS: &str =
    "(+ above alpha, ! above alpha by more than chance would have it once in a hundred times)";

fn head_of_alphas() -> Vec<&'static str> {
    vec!["", "α 1 %", "99 % bound", "α 5 %", "99 % bound"]
}

fn alphas(runs: u64, found: &[Found]) -> impl Iterator<Item = String> {
    nulls::ALPHAS
        .iter()
        .zip(found)
        .flat_map(|(alpha, found)| cells(runs, *alpha, found))
        .collect::<Vec<_>>()
        .into_iter()
}

fn false_alarms(asked: &Asked) -> Table {
    let title = format!("False alarms of a ratio over a whole watch, 1000 requests a poll {MARKS}");
    let mut table = Table::new("false_alarms", title, &head_of_alphas());
    let mut row = |words: &str, world: Ratios, tolerate: f64, polls: usize| {
        let name = format!("{words}, {polls} polls, {}", percent(world.share));
        let found = nulls::ratio(world, tolerate, polls, asked.runs, asked.seed, &name);
        table.row([name].into_iter().chain(alphas(asked.runs, &found)));
    };
    for polls in [60, 600] {
        for share in [0.1, 0.5] {
            for rate in [0.001, 0.01, 0.05, 0.3] {
                row(&format!("{} errors, 1x", percent(rate)), Ratios::new(share, rate, 1.0), 1.0, polls);
            }
            for rate in [0.01, 0.3] {
                let words = format!("{} errors, 1.2x of 1.2x", percent(rate));
                row(&words, Ratios::new(share, rate, 1.2), 1.2, polls);
            }
        }
        let incident = Ratios { incident: true, ..Ratios::new(0.1, 0.01, 1.0) };
        row("1 %, both sides x4 for 10 polls, 1x", incident, 1.0, polls);
        for (errors, words) in [
            (Errors::Wandering, "rate wanders"),
            (Errors::Bursts(3.0), "bursts of 3"),
            (Errors::Bursts(10.0), "bursts of 10"),
        ] {
            for tolerate in [1.0, 1.2, 2.0] {
                let world = Ratios { errors, ..Ratios::new(0.1, 0.01, 1.0) };
                row(&format!("1 % errors, {words}, {tolerate}x"), world, tolerate, polls);
            }
        }
    }
    for (rate, recorded) in [(0.01, 1), (0.01, 15), (0.001, 15), (0.05, 15)] {
        let name = format!("{} errors, all traffic, {recorded} polls recorded, 1x, 60 polls", percent(rate));
        let world = Ratios::new(0.5, rate, 1.0);
        let found = nulls::against_recorded(world, 1.0, recorded, 60, asked.runs, asked.seed, &name);
        table.row([name].into_iter().chain(alphas(asked.runs, &found)));
    }
    table
}

fn quantiles(asked: &Asked) -> Table {
    let title = format!("False alarms of a quantile, 1x, the same lognormal latency on both sides {MARKS}");
    let mut table = Table::new("quantiles", title, &head_of_alphas());
    for share in [0.1, 0.5] {
        for p in [0.5, 0.95, 0.99] {
            let world = nulls::Latencies::at_bound(p, share);
            for polls in [60, 600] {
                let name = format!("p{}, buckets, {polls} polls, {}", p * 100.0, percent(share));
                // long watches take long: fewer of them
                let runs = if polls > 60 { asked.runs.div_ceil(4) } else { asked.runs };
                let found = nulls::histogram(world, polls, runs, asked.seed, &name);
                table.row([name].into_iter().chain(alphas(runs, &found)));
            }
            let name = format!("p{}, single values, 60 polls, {}", p * 100.0, percent(share));
            let runs = asked.runs.div_ceil(10);
            let found = nulls::values(world, &nulls::ALPHAS, nulls::SHARPEST_AT, 60, runs, asked.seed, &name);
            table.row([name].into_iter().chain(alphas(runs, &found)));
        }
    }
    table
}

fn gauges(asked: &Asked) -> Table {
    let title = format!("False alarms of a gauge of 60 values, by rank once at the end, 1x {MARKS}");
    let mut table = Table::new("gauges", title, &head_of_alphas());
    for correlation in [0.0, 0.5, 0.8, 0.9] {
        let name = format!("AR(1) of {correlation}");
        let (product, plain) = nulls::gauges(correlation, asked.runs, asked.seed, &name);
        table.row([format!("{name}, tidegate")].into_iter().chain(alphas(asked.runs, &product)));
        table.row([format!("{name}, plain Mann-Whitney")].into_iter().chain(alphas(asked.runs, &plain)));
        let signs = nulls::signs(correlation, asked.runs, asked.seed, &name);
        table.row(
            [format!("{name}, against what was recorded")].into_iter().chain(alphas(asked.runs, &signs)),
        );
    }
    table
}

pub fn percent(part: f64) -> String {
    format!("{} %", (part * 1e6).round() / 1e4)
}
