//! Progress on a terminal: finished facts scroll, what is going on stands below them and changes in place.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    plain::plain,
    text::{Paint, check_line},
};
use crate::{
    domain::duration::spoken,
    port::{Progress, Watching},
};

pub struct Live {
    screen: MultiProgress,
    paint: Paint,
    rows: Mutex<Vec<ProgressBar>>,
}

const BAR: usize = 24;

impl Live {
    pub fn new(paint: Paint) -> Self {
        Live::to(ProgressDrawTarget::stderr(), paint)
    }

    pub fn to(terminal: ProgressDrawTarget, paint: Paint) -> Self {
        Live { screen: MultiProgress::with_draw_target(terminal), paint, rows: Mutex::default() }
    }

    fn rows(&self) -> MutexGuard<'_, Vec<ProgressBar>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, lines: Vec<String>) {
        let mut rows = self.rows();
        while rows.len() < lines.len() {
            let row = self.screen.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                row.set_style(style);
            }
            rows.push(row);
        }
        for extra in rows.drain(lines.len()..) {
            extra.finish_and_clear();
            self.screen.remove(&extra);
        }
        for (row, line) in rows.iter().zip(lines) {
            row.set_message(line);
            row.tick();
        }
    }

    /// Takes the changing rows away: the result comes next.
    pub fn clear(&self) {
        self.show(Vec::new());
    }
}

impl Progress for Live {
    fn line(&self, line: &str) {
        self.clear();
        let _ = self.screen.println(plain(line));
    }

    fn output(&self, step: &str, line: &str) {
        let step = self.paint.faint(&format!("{} |", plain(step)));
        let _ = self.screen.println(format!("{step} {}", plain(line)));
    }

    fn waiting(&self, subject: &str, text: &str) {
        self.show(vec![plain(&format!("… {subject}: {text}"))]);
    }

    fn watching(&self, watch: &Watching<'_>) {
        let shares: Vec<String> =
            watch.split.iter().map(|(target, share)| format!("{target} {share}")).collect();
        let mut lines = vec![format!(
            "{}  {}  {} left",
            shares.join(", "),
            bar(watch.watched, watch.left),
            spoken(watch.left)
        )];
        lines.extend(watch.judgements.iter().map(|j| format!("  {}", check_line(j, self.paint))));
        lines.extend(watch.unreadable.iter().map(|u| format!("  unreadable: {}", plain(u))));
        self.show(lines);
    }
}

fn bar(done: Duration, left: Duration) -> String {
    let whole = (done + left).as_secs_f64().max(0.001);
    let filled = ((done.as_secs_f64() / whole) * BAR as f64).round() as usize;
    format!("[{}{}]", "#".repeat(filled.min(BAR)), "-".repeat(BAR - filled.min(BAR)))
}
