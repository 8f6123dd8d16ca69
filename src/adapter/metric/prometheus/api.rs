//! `GET /api/v1/query` (<https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>).

use std::collections::BTreeMap;

use reqwest::Url;
use serde::{Deserialize, de::IgnoredAny};

use super::{PROVIDER, Query};
use crate::{
    adapter::web::{Request, Response, Web, refusal, shown},
    port::{Context, Fault, Treat, excerpt},
};

pub(super) const READ: &str = "query";
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The labels of a series.
pub(super) type Labels = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "snake_case")]
pub(super) enum Data {
    Vector(Vec<Instant>),
    Scalar(Point),
    Matrix(Vec<Series>),
    String(IgnoredAny),
}

#[derive(Debug, Deserialize)]
pub(super) struct Instant {
    pub metric: Labels,
    pub value: Point,
}

#[derive(Debug, Deserialize)]
pub(super) struct Series {
    pub metric: Labels,
    pub values: Vec<Point>,
}

/// Seconds since 1970 and a number as text.
#[derive(Debug, Deserialize)]
pub(super) struct Point(IgnoredAny, String);

impl Point {
    pub fn number(&self) -> Result<f64, String> {
        self.1.parse().map_err(|_| format!("`{}` is not a number", excerpt(&self.1, 40)))
    }
}

impl Data {
    /// The one number of an answer; `None` if there is none.
    pub fn number(&self) -> Result<Option<f64>, String> {
        let point = match self {
            Data::Scalar(point) => point,
            Data::Vector(series) => match series.as_slice() {
                [] => return Ok(None),
                [one] => &one.value,
                many => {
                    return Err(format!(
                        "{} series came back where one number is wanted; aggregate them, such as with sum(…)",
                        many.len()
                    ));
                }
            },
            Data::Matrix(_) => return Err("a range came back where one number is wanted".into()),
            Data::String(_) => return Err("a text came back where one number is wanted".into()),
        };
        match point.number()? {
            number if number.is_nan() => Ok(None),
            number if number.is_infinite() => Err("the value is infinite, which cannot be compared".into()),
            number => Ok(Some(number)),
        }
    }

    pub fn vector(&self) -> Result<&[Instant], String> {
        match self {
            Data::Vector(series) => Ok(series),
            _ => Err("something else than series came back".into()),
        }
    }

    pub fn matrix(&self) -> Result<&[Series], String> {
        match self {
            Data::Matrix(series) => Ok(series),
            _ => Err("something else than the points of series came back".into()),
        }
    }
}

pub(super) fn wrong(query: &Query, why: impl std::fmt::Display) -> Fault {
    Fault::permanent(
        PROVIDER,
        READ,
        shown(&query.server),
        format!("{why}; the query was {}", excerpt(&query.promql, 300)),
    )
}

pub(super) async fn ask(web: &Web, cx: &Context, query: &Query, token: Option<&str>) -> Result<Data, Fault> {
    let mut url = Url::parse(&format!("{}/api/v1/query", query.server)).map_err(|e| wrong(query, e))?;
    let millis = query.time.as_millisecond();
    let time = format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000));
    url.query_pairs_mut().append_pair("query", &query.promql).append_pair("time", &time);
    let mut request = Request::get(url);
    if let Some(token) = token {
        request = request.bearer(token).map_err(|why| wrong(query, why))?;
    }
    let response = web.ask(cx, READ, request, ANSWER_BYTES_MAX).await?;
    read(&response).map_err(|(treat, why)| Fault { treat, ..wrong(query, why) })
}

fn read(response: &Response) -> Result<Data, (Treat, String)> {
    let refused = refusal(response.status);
    match (serde_json::from_slice::<Answer>(&response.body), refused) {
        (Ok(Answer { status, data: Some(data), .. }), None) if status == "success" => Ok(data),
        (Ok(Answer { error: Some(error), .. }), refused) => {
            let treat = refused.map_or(Treat::Permanent, |(treat, _)| treat);
            Err((treat, excerpt(&error, 500)))
        }
        (_, Some((treat, why))) => Err((treat, format!("{why}: {}", excerpt(&response.text(), 200)))),
        (Ok(_), None) => Err((Treat::Permanent, "the answer says neither success nor error".into())),
        (Err(error), None) => {
            let start = excerpt(&response.text(), 200);
            Err((Treat::Permanent, format!("the answer is not Prometheus's ({error}): {start}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Data, (Treat, String)> {
        read(&Response { status, headers: Default::default(), body: body.into() })
    }

    fn number(result: &str) -> Result<Option<f64>, String> {
        answer(200, &format!(r#"{{"status":"success","data":{result}}}"#)).map_err(|(_, why)| why)?.number()
    }

    #[test]
    fn one_number_is_one_number() {
        assert_eq!(number(r#"{"resultType":"scalar","result":[1.5,"7"]}"#), Ok(Some(7.0)));
        assert_eq!(number(r#"{"resultType":"vector","result":[]}"#), Ok(None));
        assert_eq!(
            number(r#"{"result":[{"metric":{},"value":[1,"0.5"]}],"resultType":"vector"}"#),
            Ok(Some(0.5))
        );
        assert_eq!(number(r#"{"resultType":"scalar","result":[1,"NaN"]}"#), Ok(None));
        let two = r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"1"]}]}"#;
        assert!(number(two).unwrap_err().contains("aggregate"));
        assert!(number(r#"{"resultType":"scalar","result":[1,"+Inf"]}"#).unwrap_err().contains("infinite"));
        assert!(number(r#"{"resultType":"matrix","result":[]}"#).is_err());
        assert!(number(r#"{"resultType":"scalar","result":[1,"x"]}"#).is_err());
    }

    #[test]
    fn what_the_server_says_of_an_error_is_shown() {
        let error = r#"{"status":"error","errorType":"bad_data","error":"parse error: unexpected \u001b"}"#;
        let (treat, why) = answer(400, error).unwrap_err();
        assert_eq!((treat, why.as_str()), (Treat::Permanent, "parse error: unexpected \u{fffd}"));
        assert_eq!(answer(503, error).unwrap_err().0, Treat::Temporary);
        assert!(answer(401, "go away").unwrap_err().1.contains("401 Unauthorized: go away"));
        assert!(answer(200, "<html>").unwrap_err().1.contains("not Prometheus's"));
        assert!(answer(200, r#"{"status":"success"}"#).unwrap_err().1.contains("neither"));
    }
}
