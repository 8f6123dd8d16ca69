//! A chart of curves, as SVG that can be read on light and dark ground.

use std::fmt::Write as _;

/// One line: its name, its place in the palette, and for each poll the share of runs that had alarmed by then.
pub struct Curve {
    pub name: &'static str,
    pub ours: bool,
    pub shares: Vec<f64>,
}

/// One panel.
pub struct Panel {
    pub title: &'static str,
    pub curves: Vec<Curve>,
    /// A line that nothing should cross.
    pub level: Option<(f64, &'static str)>,
    pub most: f64,
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 44.0;
const STYLE: &str = "
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px }
.axis { stroke: #8c959f; stroke-width: 1 } .grid { stroke: #d0d7de; stroke-width: 1 }
.level { stroke: #8c959f; stroke-dasharray: 4 4 }
polyline, .key { fill: none; stroke-width: 1.8 } .ours { stroke-width: 3.2 }
.c0 { stroke: #8250df } .c1 { stroke: #cf222e } .c2 { stroke: #9a6700 } .c3 { stroke: #1b7c83 }
.c4 { stroke: #57606a; stroke-dasharray: 6 3 } .c5 { stroke: #0969da } .c6 { stroke: #bf3989; stroke-dasharray: 2 3 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .axis { stroke: #7d8590 } .grid { stroke: #30363d } .level { stroke: #7d8590 }
.c0 { stroke: #bc8cff } .c1 { stroke: #ff7b72 } .c2 { stroke: #d29922 } .c3 { stroke: #56d4dd }
.c4 { stroke: #adbac7 } .c5 { stroke: #58a6ff } .c6 { stroke: #f778ba } }
";

/// Panels side by side over one key.
pub fn svg(title: &str, panels: &[Panel]) -> String {
    let width = panels.len() as f64 * (WIDTH + LEFT) + 30.0;
    let keys = panels.first().map_or(&[] as &[Curve], |p| &p.curves);
    let height = TOP + HEIGHT + 58.0 + 20.0 * (keys.len() as f64 / 3.0).ceil();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n"
    );
    for (index, panel) in panels.iter().enumerate() {
        panel.draw(&mut out, LEFT + index as f64 * (WIDTH + LEFT));
    }
    for (index, curve) in keys.iter().enumerate() {
        let (x, y) = (LEFT + (index % 3) as f64 * 310.0, TOP + HEIGHT + 58.0 + 20.0 * (index / 3) as f64);
        let ours = if curve.ours { " ours" } else { "" };
        let _ = writeln!(
            out,
            "<path class=\"key c{index}{ours}\" d=\"M{x} {}h26\"/><text x=\"{}\" y=\"{y}\">{}</text>",
            y - 4.0,
            x + 34.0,
            curve.name
        );
    }
    out + "</svg>\n"
}

impl Panel {
    fn draw(&self, out: &mut String, left: f64) {
        let polls = self.curves.first().map_or(1, |c| c.shares.len()).max(1) as f64;
        let x = |poll: f64| left + WIDTH * poll / polls;
        let y = |share: f64| TOP + HEIGHT * (1.0 - (share / self.most).min(1.0));
        let _ = writeln!(out, "<text class=\"title\" x=\"{left}\" y=\"22\">{}</text>", self.title);
        for step in 0..=4 {
            let share = self.most * f64::from(step) / 4.0;
            let class = if step == 0 { "axis" } else { "grid" };
            let _ = writeln!(
                out,
                "<path class=\"{class}\" d=\"M{left} {0:.1}H{1:.1}\"/><text x=\"{2:.1}\" y=\"{3:.1}\" text-anchor=\"end\">{4:.0} %</text>",
                y(share),
                x(polls),
                left - 6.0,
                y(share) + 4.0,
                share * 100.0
            );
        }
        for step in 0..=6 {
            let poll = polls * f64::from(step) / 6.0;
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{poll:.0}</text>",
                x(poll),
                TOP + HEIGHT + 17.0
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">polls</text>",
            x(polls / 2.0),
            TOP + HEIGHT + 34.0
        );
        for (index, curve) in self.curves.iter().enumerate() {
            let ours = if curve.ours { " ours" } else { "" };
            let mut points = format!("{:.1},{:.1}", x(0.0), y(0.0));
            for (poll, share) in curve.shares.iter().enumerate() {
                let _ = write!(points, " {:.1},{:.1}", x(poll as f64 + 1.0), y(*share));
            }
            let _ = writeln!(out, "<polyline class=\"c{index}{ours}\" points=\"{points}\"/>");
        }
        if let Some((level, name)) = self.level {
            let _ = writeln!(
                out,
                "<path class=\"level\" d=\"M{left} {0:.1}H{1:.1}\"/><text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\">{name}</text>",
                y(level),
                x(polls),
                y(level) - 5.0
            );
        }
    }
}

/// By each poll, the share of runs that had it.
pub fn by_poll(at: &[Option<usize>], polls: usize) -> Vec<f64> {
    let n = at.len().max(1) as f64;
    (1..=polls).map(|poll| at.iter().flatten().filter(|first| **first <= poll).count() as f64 / n).collect()
}
