//! Progress as lines: for CI logs, pipes, and the standard error of `--output json`.
//!
//! Quiet: a watch says something when a check changes and otherwise once in half a minute.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    plain::plain,
    text::{Paint, check_line},
};
use crate::{
    domain::{duration::spoken, verdict::Verdict},
    port::{Clock, Progress, Watching},
};

const REMIND: Duration = Duration::from_secs(30);

pub struct Lines {
    clock: Arc<dyn Clock>,
    paint: Paint,
    /// The log's reader folds what stands between commands of GitHub's runner.
    folds: bool,
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    /// The step whose output is being folded.
    folded: Option<String>,
    /// When each waited-for subject was last mentioned.
    waited: BTreeMap<String, Duration>,
    /// Verdict and warning per check, as last shown, and when.
    shown: Vec<(String, Verdict, bool)>,
    shown_at: Option<Duration>,
}

impl Lines {
    pub fn new(out: Box<dyn Write + Send>, clock: Arc<dyn Clock>, paint: Paint, folds: bool) -> Self {
        let state = State { out, folded: None, waited: BTreeMap::new(), shown: Vec::new(), shown_at: None };
        Lines { clock, paint, folds, state: Mutex::new(state) }
    }

    /// Ends what is folded: the result comes next.
    pub fn clear(&self) {
        self.state().unfold();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Begins to fold what this step prints.
    fn fold(&mut self, step: &str) {
        if self.folded.as_deref() != Some(step) {
            self.unfold();
            self.write(&format!("::group::output of {step}"));
            self.folded = Some(step.into());
        }
    }

    fn unfold(&mut self) {
        if self.folded.take().is_some() {
            self.write("::endgroup::");
        }
    }

    fn say(&mut self, text: &str) {
        self.unfold();
        self.write(text);
    }

    /// A log that cannot be written to does not stop a release.
    fn write(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }
}

impl Progress for Lines {
    fn line(&self, line: &str) {
        self.state().say(&plain(line));
    }

    fn output(&self, step: &str, line: &str) {
        let mut state = self.state();
        if self.folds {
            state.fold(&plain(step));
            return state.write(&plain(line));
        }
        let step = self.paint.faint(&format!("{} |", plain(step)));
        state.say(&format!("{step} {}", plain(line)));
    }

    fn waiting(&self, subject: &str, text: &str) {
        let now = self.clock.elapsed();
        let mut state = self.state();
        let due = state.waited.get(subject).is_none_or(|at| now.saturating_sub(*at) >= REMIND);
        if due {
            state.waited.insert(subject.to_string(), now);
            state.say(&plain(&format!("waiting: {subject}: {text}")));
        }
    }

    fn watching(&self, watch: &Watching<'_>) {
        let now = self.clock.elapsed();
        let mut state = self.state();
        let shown: Vec<(String, Verdict, bool)> = watch
            .judgements
            .iter()
            .map(|j| (format!("{}/{}", j.check, j.target), j.verdict, j.warned))
            .collect();
        let due = state.shown_at.is_none_or(|at| now.saturating_sub(at) >= REMIND);
        if !due && shown == state.shown {
            return;
        }
        state.shown = shown;
        state.shown_at = Some(now);
        state.say(&format!("watched {}, {} left", spoken(watch.watched), spoken(watch.left)));
        for judgement in watch.judgements {
            let line = check_line(judgement, self.paint);
            state.say(&format!("  {line}"));
        }
        for unreadable in watch.unreadable {
            state.say(&format!("  unreadable: {}", plain(unreadable)));
        }
    }
}
