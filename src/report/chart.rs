//! A verdict as a picture: both sides over the watch, the bound, and where it was decided. SVG that reads on light and
//! dark pages, without scripts, fonts or links.

use std::fmt::Write as _;

use super::escape::xml;
use crate::{
    domain::{judge::series::over_time, verdict::Verdict},
    engine::outcome::Shown,
    port::excerpt::beginning,
};

const WIDTH: f64 = 720.0;
const PANEL: f64 = 240.0;
/// Around the plot of one panel: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (70.0, 68.0, 20.0, 36.0);
/// Characters of a line of text.
const LINE: usize = 112;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#24292f}.quiet{fill:#57606a}.axis{stroke:#8c959f;stroke-width:1}\
.candidate{fill:none;stroke:#bc4c00;stroke-width:2}.baseline{fill:none;stroke:#0969da;stroke-width:2}\
.bound{fill:none;stroke:#cf222e;stroke-width:1.5;stroke-dasharray:5 4}.decided{stroke:#cf222e;stroke-width:1}\
.page{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9198a1}.page{fill:#0d1117}\
.candidate{stroke:#f0883e}.baseline{stroke:#58a6ff}.bound,.decided{stroke:#ff7b72}}";

/// The last verdict of these, one panel for each check; `None` where there is none.
pub fn of_last(shown: &[Shown]) -> Option<String> {
    let last = &shown.last()?.of;
    let panels: Vec<&Shown> = shown.iter().filter(|s| &s.of == last).collect();
    let height = PANEL * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <style>{STYLE}</style>\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n"
    );
    for (i, panel) in panels.iter().enumerate() {
        // writing into a string cannot fail
        let _ = writeln!(svg, "<g transform=\"translate(0 {})\">", PANEL * i as f64);
        draw(&mut svg, panel);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn draw(svg: &mut String, shown: &Shown) {
    let (left, top, right, bottom) = MARGIN;
    let (width, height) = (WIDTH - left - right, PANEL - top - bottom);
    let judged = &shown.judgement;
    let title = format!("{} {} of {}: {}", shown.of, judged.check, judged.target, judged.verdict);
    let _ = writeln!(svg, "<text x=\"10\" y=\"18\" font-weight=\"600\">{}</text>", xml(&title));
    for (line, at) in wrapped(&beginning(&judged.sentence, 2 * LINE)).iter().zip([35.0, 51.0]) {
        let _ = writeln!(svg, "<text class=\"quiet\" x=\"10\" y=\"{at}\">{}</text>", xml(line));
    }
    let points = judged.measure.map(|measure| over_time(&shown.series, measure)).unwrap_or_default();
    let Some(end_ms) = points.last().map(|p| p.to_ms.max(1)) else {
        let _ = writeln!(
            svg,
            "<text class=\"quiet\" x=\"{left}\" y=\"{}\">nothing is stored of it</text>",
            top + 20.0
        );
        return;
    };
    let numbers = points.iter().flat_map(|p| [p.candidate, p.baseline]).flatten().chain(judged.limit);
    let most = numbers.filter(|n| n.is_finite()).fold(0.0, f64::max);
    let most = if most > 0.0 { most * 1.1 } else { 1.0 };
    let x = |ms: u64| left + width * ms as f64 / end_ms as f64;
    let y = |number: f64| top + height * (1.0 - (number / most).clamp(0.0, 1.0));
    let base = top + height;
    let _ = writeln!(svg, "<path class=\"axis\" fill=\"none\" d=\"M{left} {top}V{base}H{}\"/>", left + width);
    for (number, at) in [(0.0, base), (most, top + 8.0)] {
        let _ = writeln!(
            svg,
            "<text class=\"quiet\" text-anchor=\"end\" x=\"{}\" y=\"{at:.1}\">{}</text>",
            left - 6.0,
            xml(&judged.kind.show(number))
        );
    }
    let until = crate::domain::duration::spoken(std::time::Duration::from_millis(end_ms));
    let _ = writeln!(
        svg,
        "<text class=\"quiet\" text-anchor=\"end\" x=\"{}\" y=\"{}\">{}</text>",
        left + width,
        base + 18.0,
        xml(&until)
    );
    for (class, of, number) in [
        ("baseline", judged.baseline, points.iter().map(|p| (p.to_ms, p.baseline)).collect::<Vec<_>>()),
        ("candidate", judged.candidate, points.iter().map(|p| (p.to_ms, p.candidate)).collect()),
    ] {
        let line: Vec<String> =
            number.iter().filter_map(|(ms, n)| Some(format!("{:.1},{:.1}", x(*ms), y((*n)?)))).collect();
        let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", line.join(" "));
        if let [only] = line.as_slice() {
            let (px, py) = only.split_once(',').unwrap_or_default();
            let _ = writeln!(svg, "<circle class=\"{class}\" cx=\"{px}\" cy=\"{py}\" r=\"3\"/>");
        }
        let at = if class == "baseline" { left + 170.0 } else { left };
        let shown = of.map_or(String::new(), |n| format!(" {}", judged.kind.show(n)));
        let _ = writeln!(
            svg,
            "<path class=\"{class}\" d=\"M{at} {0}h14\"/><text class=\"quiet\" x=\"{1}\" y=\"{2}\">{class}{3}</text>",
            base + 14.0,
            at + 18.0,
            base + 18.0,
            xml(&shown)
        );
    }
    if let Some(limit) = judged.limit.filter(|limit| limit.is_finite() && *limit >= 0.0) {
        let at = y(limit);
        let _ = writeln!(svg, "<path class=\"bound\" d=\"M{left} {at:.1}H{}\"/>", left + width);
        let words = format!("{}: {}", judged.bound, judged.kind.show(limit));
        let _ = writeln!(
            svg,
            "<text class=\"quiet\" x=\"{}\" y=\"{:.1}\">{}</text>",
            left + 6.0,
            at - 4.0,
            xml(&words)
        );
    }
    // a failing test has decided when its evidence was there, all else at the end
    let tested = judged.tested.as_ref().filter(|_| judged.verdict == Verdict::Fail);
    let at = x(tested.map_or(end_ms, |tested| tested.at_ms.min(end_ms)));
    let _ = writeln!(svg, "<path class=\"decided\" d=\"M{at:.1} {top}V{base}\"/>");
    let _ = writeln!(
        svg,
        "<text class=\"quiet\" text-anchor=\"end\" x=\"{:.1}\" y=\"{}\">decided</text>",
        at - 4.0,
        top + 10.0
    );
}

/// A sentence in two lines; what does not fit is left out, and that is shown.
fn wrapped(sentence: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in sentence.split(' ') {
        let length = lines.last().map_or(0, |line| line.chars().count());
        if length > 0 && length + 1 + word.chars().count() > LINE {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    if lines.len() > 2 {
        lines.truncate(2);
        lines.iter_mut().skip(1).for_each(|line| line.push_str(" …"));
    }
    lines
}

#[cfg(test)]
#[path = "chart_tests.rs"]
mod tests;
