//! `DescribeAlarms`: alarms as checks, judged on change.

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{AlarmType, StateValue},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::data::SERVICE;
use crate::{
    adapter::aws::{Aws, Intent, PROVIDER, call},
    domain::sample::Sample,
    port::{Context, Fault},
};

const OPERATION: &str = "DescribeAlarms";
/// What one call takes.
const NAMES_MAX: usize = 100;
const PAGES_MAX: usize = 10;

/// The state of an alarm, and since when it is in it.
#[derive(Clone, Debug)]
pub struct Alarm {
    arn: String,
    state: StateValue,
    since: Option<Timestamp>,
}

/// What is known of each alarm by name; one that does not exist is not in it.
pub type Alarms = Result<BTreeMap<String, Alarm>, Fault>;

/// Reads alarms, plain and composite.
pub async fn read(aws: &Arc<Aws>, cx: &Context, names: &BTreeSet<String>) -> Alarms {
    let names: Vec<String> = names.iter().map(|name| name_of(name).to_string()).collect();
    let mut found = BTreeMap::new();
    for names in names.chunks(NAMES_MAX) {
        let object = match names {
            [name] => name.clone(),
            names => format!("{} alarms", names.len()),
        };
        let intent = Intent::read(SERVICE, OPERATION, object);
        let mut token: Option<String> = None;
        let mut pages = 0;
        loop {
            pages += 1;
            if pages > PAGES_MAX {
                let why = format!("more than {PAGES_MAX} pages for {} names", names.len());
                return Err(Fault::permanent(PROVIDER, "cloudwatch:DescribeAlarms", &intent.object, why));
            }
            let (names, token_now) = (names.to_vec(), token.clone());
            let page = call(aws, cx, &intent, move |config: SdkConfig| {
                let request = Client::new(&config)
                    .describe_alarms()
                    .set_alarm_names(Some(names.clone()))
                    // without this the composite ones are left out
                    .alarm_types(AlarmType::MetricAlarm)
                    .alarm_types(AlarmType::CompositeAlarm)
                    .max_records(100)
                    .set_next_token(token_now.clone());
                async move { request.send().await }
            })
            .await?;
            for alarm in page.metric_alarms.unwrap_or_default() {
                let since = alarm.state_transitioned_timestamp.or(alarm.state_updated_timestamp);
                note(&mut found, alarm.alarm_name, alarm.alarm_arn, alarm.state_value, since);
            }
            for alarm in page.composite_alarms.unwrap_or_default() {
                let since = alarm.state_transitioned_timestamp.or(alarm.state_updated_timestamp);
                note(&mut found, alarm.alarm_name, alarm.alarm_arn, alarm.state_value, since);
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
    }
    Ok(found)
}

fn note(
    found: &mut BTreeMap<String, Alarm>,
    name: Option<String>,
    arn: Option<String>,
    state: Option<StateValue>,
    since: Option<DateTime>,
) {
    let (Some(name), Some(state)) = (name, state) else { return };
    let since =
        since.and_then(|t| Timestamp::new(t.secs(), i32::try_from(t.subsec_nanos()).unwrap_or(0)).ok());
    found.insert(name, Alarm { arn: arn.unwrap_or_default(), state, since });
}

/// The name in `arn:aws:cloudwatch:eu-west-1:123456789012:alarm:NAME`.
fn name_of(alarm: &str) -> &str {
    match alarm.strip_prefix("arn:").and_then(|_| alarm.split_once(":alarm:")) {
        Some((_, name)) => name,
        None => alarm,
    }
}

/// What the alarm says: 1 if it began to ring after `opened`, 0 if it is silent, or rang before and never stopped.
pub fn sample(alarms: &Alarms, wanted: &str, opened: Timestamp) -> Result<Sample, Fault> {
    let alarms = alarms.as_ref().map_err(Clone::clone)?;
    let fault = |why: String| Fault::permanent("aws", "cloudwatch:DescribeAlarms", wanted, why);
    let Some(alarm) = alarms.get(name_of(wanted)) else {
        return Err(fault("there is no such alarm".into()).hint("alarms are of one region: is it this one?"));
    };
    if wanted.starts_with("arn:") && alarm.arn != wanted {
        return Err(fault(format!("the alarm of that name is {}", alarm.arn)));
    }
    Ok(match &alarm.state {
        StateValue::Ok => Sample::Gauge(0.0),
        StateValue::Alarm => {
            let before = alarm.since.is_some_and(|since| since <= opened);
            Sample::Gauge(if before { 0.0 } else { 1.0 })
        }
        _ => Sample::Empty,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarms(state: StateValue, since: i64) -> Alarms {
        let mut found = BTreeMap::new();
        let arn = Some("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:5xx".to_string());
        note(&mut found, Some("5xx".into()), arn, Some(state), Some(DateTime::from_secs(since)));
        Ok(found)
    }

    #[test]
    fn an_alarm_that_rang_before_the_release_is_not_its_doing() {
        let opened = Timestamp::new(1000, 0).unwrap();
        for (state, since, sample) in [
            (StateValue::Ok, 1100, Sample::Gauge(0.0)),
            (StateValue::Alarm, 900, Sample::Gauge(0.0)),
            (StateValue::Alarm, 1100, Sample::Gauge(1.0)),
            (StateValue::InsufficientData, 1100, Sample::Empty),
        ] {
            assert_eq!(super::sample(&alarms(state, since), "5xx", opened), Ok(sample));
        }
    }

    #[test]
    fn an_arn_must_be_the_alarms_own() {
        let alarms = alarms(StateValue::Ok, 0);
        let opened = Timestamp::UNIX_EPOCH;
        let right = sample(&alarms, "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:5xx", opened);
        assert_eq!(right, Ok(Sample::Gauge(0.0)));
        let wrong =
            sample(&alarms, "arn:aws:cloudwatch:us-east-1:123456789012:alarm:5xx", opened).unwrap_err();
        assert!(wrong.detail.contains("eu-west-1"), "{wrong}");
        assert!(sample(&alarms, "4xx", opened).unwrap_err().detail.contains("no such alarm"));
    }
}
