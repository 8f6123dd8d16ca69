use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

type Owned = (String, Vec<(String, String)>, f64);

fn read(text: &[u8], chunk: usize) -> Result<Vec<Owned>, Malformed> {
    let mut reader = Reader::default();
    let mut samples = Vec::new();
    let mut take = |line: Line<'_>| {
        if let Line::Sample { metric, labels, value } = line {
            let labels = labels.into_iter().map(|(n, v)| (n.to_string(), v.into_owned())).collect();
            samples.push((metric.to_string(), labels, value));
        }
        Ok(())
    };
    for piece in text.chunks(chunk.max(1)) {
        reader.feed(piece, &mut take)?;
    }
    reader.finish()?;
    Ok(samples)
}

fn wrong(text: &str) -> Malformed {
    read(text.as_bytes(), 7).unwrap_err()
}

#[test]
fn the_example_of_the_specification_is_read() {
    let text = r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
	http_request_duration_seconds_bucket { le="0.05" , } 24054
"#;
    let samples = read(text.as_bytes(), 5).unwrap();
    assert_eq!(samples.len(), 6);
    assert_eq!(samples[0].2, 1027.0);
    assert_eq!(samples[2].1[0].1, r"C:\DIR\FILE.TXT");
    assert_eq!(samples[2].1[1].1, "Cannot find file:\n\"FILE.TXT\"");
    assert_eq!(samples[4].2, f64::INFINITY);
    assert_eq!(samples[5].1, [("le".to_string(), "0.05".to_string())]);
}

#[test]
fn openmetrics_is_read_over() {
    let text = "# TYPE a counter\n# UNIT a seconds\na_total 5 1520879607.789 # {trace=\"x\"} 0.67 1.5\n\
                b_bucket{le=\"+Inf\"} 3 # {} 1\r\nc NaN\n# EOF\n";
    let samples = read(text.as_bytes(), 1).unwrap();
    assert_eq!(samples.iter().map(|s| s.0.as_str()).collect::<Vec<_>>(), ["a_total", "b_bucket", "c"]);
    assert!(samples[2].2.is_nan());
}

#[test]
fn types_are_told() {
    assert_eq!(
        parse("# TYPE x_total counter").unwrap(),
        Some(Line::Type { family: "x_total", kind: Kind::Counter })
    );
    assert_eq!(parse("# TYPE x"), Ok(None));
    assert_eq!(parse("#"), Ok(None));
}

#[test]
fn a_malformed_line_is_named_by_its_number() {
    for (text, line, what) in [
        ("a 1\n<html>\n", 2, "metric name"),
        ("a\n", 1, "not a number"),
        ("a 1\n\na x\n", 3, "not a number"),
        ("a 1 x\n", 1, "timestamp"),
        ("a 1 2 3\n", 1, "follows"),
        ("a{b=\"1\" c=\"2\"} 1\n", 1, "comma"),
        ("a{b=1} 1\n", 1, "quotes"),
        ("a{b} 1\n", 1, "comes ="),
        ("a{b=\"1} 1\n", 1, "closing quote"),
        ("a{b=\"1\\", 1, "cut off"),
        ("a{9=\"1\"} 1\n", 1, "label"),
        ("a 1\nb 12", 2, "cut off"),
    ] {
        let error = wrong(text);
        assert_eq!(error.line, line, "{text:?}");
        assert!(error.what.contains(what), "{text:?}: {error}");
    }
    assert_eq!(read(b"a 1\nb\xff 1\n", 3).unwrap_err().what, "it is not UTF-8");
}

#[test]
fn a_line_without_end_does_not_fill_the_memory() {
    let mut reader = Reader::default();
    let piece = [b'a'; 1024];
    let fed = (0..1000).map(|_| reader.feed(&piece, &mut |_| Ok(()))).take_while(Result::is_ok).count();
    assert_eq!(fed, LINE_BYTES_MAX / piece.len());
}

#[test]
fn a_reader_may_refuse_a_line() {
    let error = Reader::default().feed(b"a 1\nb 1\n", &mut |_| Err("enough".into())).unwrap_err();
    assert_eq!(error.to_string(), "line 1 of the metrics is malformed: enough");
}

fn written(samples: &[Owned]) -> String {
    let escaped = |v: &str| v.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n");
    let line = |(metric, labels, value): &Owned| {
        let labels: Vec<_> = labels.iter().map(|(n, v)| format!("{n}=\"{}\"", escaped(v))).collect();
        format!("{metric}{{{}}} {value}\n", labels.join(","))
    };
    samples.iter().map(line).collect()
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), chunk in 1usize..50) {
        let _ = read(&bytes, chunk);
    }

    #[test]
    fn nothing_that_looks_like_metrics_makes_it_panic(text in "[a-z_{}=\",\\\\ #0-9\n.é]{0,200}", chunk in 1usize..9) {
        let _ = read(text.as_bytes(), chunk);
        let _ = Scanner::new(&text).quoted().map(Cow::into_owned);
    }

    #[test]
    fn what_is_written_is_read(
        samples in proptest::collection::vec(
            (
                "[a-zA-Z_:][a-zA-Z0-9_:]{0,12}",
                proptest::collection::vec(("[a-zA-Z_][a-zA-Z0-9_]{0,8}", "\\PC*|[\\\\\"\nx]{0,8}"), 0..4),
                any::<f64>().prop_filter("NaN is not equal to itself", |v| !v.is_nan()),
            ),
            0..8,
        ),
        chunk in 1usize..64,
    ) {
        prop_assert_eq!(read(written(&samples).as_bytes(), chunk).unwrap(), samples);
    }
}
