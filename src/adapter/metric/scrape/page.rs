//! One page, read as it comes: only the series somebody asked for are kept.

use std::collections::BTreeMap;

use crate::{
    adapter::{
        metric::{
            exposition::{Kind, Line, Reader},
            memory::{Page, SERIES_MAX},
            selector::Filter,
        },
        web::{HeaderValue, Request, Web},
    },
    port::{Context, Fault},
};

const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
const ACCEPT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// What one filter found on one page.
#[derive(Clone, Debug, Default)]
pub(super) struct Catch {
    /// Whether the metric is on the page, with whatever labels.
    pub known: bool,
    pub kind: Option<Kind>,
    /// By name of the series.
    pub series: BTreeMap<String, Caught>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Caught {
    pub raw: f64,
    /// The upper bound of a bucket.
    pub le: Option<f64>,
}

impl Catch {
    pub fn page(&self) -> impl Iterator<Item = (String, f64)> {
        self.series.iter().filter(|(_, s)| s.raw.is_finite()).map(|(name, s)| (name.clone(), s.raw))
    }

    /// What came of its series together.
    pub fn sum(&self, came: &Page) -> f64 {
        self.series.keys().filter_map(|name| came.get(name)).sum()
    }

    fn take(&mut self, filter: &Filter, line: &Line<'_>) -> Result<(), String> {
        match line {
            Line::Type { family, kind } if of_family(&filter.metric, family) => {
                self.known = true;
                self.kind = Some(*kind);
            }
            Line::Sample { metric, labels, value } if *metric == filter.metric => {
                self.known = true;
                if value.is_nan() || !filter.fits(labels) {
                    return Ok(());
                }
                let le = labels.iter().find(|(name, _)| *name == "le").and_then(|(_, le)| le.parse().ok());
                self.series.insert(super::series_name(metric, labels), Caught { raw: *value, le });
                if self.series.len() > SERIES_MAX {
                    return Err(format!(
                        "more than {SERIES_MAX} series of {metric} match; narrow them with labels"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether `# TYPE family` speaks of this metric: OpenMetrics leaves `_total` out, histograms are named without their
/// parts.
fn of_family(metric: &str, family: &str) -> bool {
    match metric.strip_prefix(family) {
        Some(suffix) => ["", "_total", "_bucket", "_count", "_sum"].contains(&suffix),
        None => false,
    }
}

/// Reads a page for `filters`; what each found, in their order.
pub(super) async fn read(
    web: &Web,
    cx: &Context,
    mut request: Request,
    filters: &[&Filter],
) -> Result<Vec<Catch>, Fault> {
    request.headers.insert("accept", ACCEPT);
    let mut answer = web.open(cx, super::READ, request, PAGE_BYTES_MAX).await?;
    if let Some(fault) = answer.refusal() {
        return Err(fault);
    }
    let mut caught = vec![Catch::default(); filters.len()];
    let mut reader = Reader::default();
    while let Some(chunk) = answer.chunk(cx).await? {
        let mut take = |line: Line<'_>| {
            caught.iter_mut().zip(filters).try_for_each(|(catch, filter)| catch.take(filter, &line))
        };
        reader.feed(&chunk, &mut take).map_err(|malformed| answer.unreadable(malformed))?;
    }
    reader.finish().map_err(|malformed| answer.unreadable(malformed))?;
    Ok(caught)
}
