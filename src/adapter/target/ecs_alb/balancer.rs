//! The load balancer's side: rules and default actions, and the weights in them.

use aws_sdk_elasticloadbalancingv2::{
    Client,
    types::{
        Action, ActionTypeEnum, ForwardActionConfig, TargetGroup, TargetGroupTuple, TargetHealthDescription,
    },
};
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    adapter::aws::{
        Access, Aws, Intent, PROVIDER,
        batch::{Batch, SharedBatch},
        call, resource_of,
    },
    port::{Context, Fault, Treat, adapter::Setting},
};

/// IAM's name for it.
pub const ELB: &str = "elasticloadbalancing";

/// Rules or listeners in one request.
const READ_MAX: usize = 20;

/// Where the weights stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A rule.
    Rule(String),
    /// A listener's default action.
    Listener(String),
}

/// What a rule or a listener does with a request.
#[derive(Clone, Debug)]
pub struct Held {
    pub actions: Vec<Action>,
    /// The listener's default rule: only the listener itself can be changed.
    pub default_rule: bool,
}

/// A way to the load balancers; what is asked within a moment goes out together.
pub struct Balancer {
    aws: Arc<Aws>,
    rules: SharedBatch<String, Arc<Held>>,
    listeners: SharedBatch<String, Arc<Held>>,
}

impl Place {
    pub fn new(arn: &str) -> Result<Self, String> {
        match resource_of(arn).split_once('/') {
            Some(("listener-rule", rest)) if rest.starts_with("app/") => Ok(Place::Rule(arn.to_string())),
            Some(("listener", rest)) if rest.starts_with("app/") => Ok(Place::Listener(arn.to_string())),
            Some(("listener" | "listener-rule", _)) => {
                Err(format!("`{arn}` belongs to no Application Load Balancer"))
            }
            _ => Err(format!(
                "`{arn}` is no listener rule (arn:…:listener-rule/app/…) and no listener (arn:…:listener/app/…)"
            )),
        }
    }

    pub fn arn(&self) -> &str {
        match self {
            Place::Rule(arn) | Place::Listener(arn) => arn,
        }
    }

    /// `app/NAME/ID`, as CloudWatch calls the load balancer.
    pub fn load_balancer(&self) -> String {
        resource_of(self.arn()).split('/').skip(1).take(3).collect::<Vec<_>>().join("/")
    }

    /// What messages call it.
    pub fn object(&self) -> String {
        match self {
            Place::Rule(arn) => {
                format!("listener rule {}", resource_of(arn).trim_start_matches("listener-rule/"))
            }
            Place::Listener(arn) => {
                format!("default action of listener {}", resource_of(arn).trim_start_matches("listener/"))
            }
        }
    }
}

impl Balancer {
    pub fn new(access: &Access, setting: &Setting) -> Self {
        let way = serde_json::to_string(access).unwrap_or_default();
        Balancer {
            aws: Aws::shared(access, setting),
            rules: setting.shared.get(&format!("rules {way}"), || Batch::new(READ_MAX)),
            listeners: setting.shared.get(&format!("listeners {way}"), || Batch::new(READ_MAX)),
        }
    }

    /// The actions of a rule, or the default ones of a listener.
    pub async fn actions(&self, cx: &Context, place: &Place) -> Result<Arc<Held>, Fault> {
        let key = place.arn().to_string();
        let found = match place {
            Place::Rule(_) => self.rules.get(cx, key, |arns| self.rules(cx, arns)).await?,
            Place::Listener(_) => self.listeners.get(cx, key, |arns| self.listeners(cx, arns)).await?,
        };
        found.ok_or_else(|| {
            Fault::permanent(
                PROVIDER,
                "read the weights",
                place.object(),
                "the load balancer does not have it",
            )
        })
    }

    /// One that is missing makes AWS refuse the whole question; the others shall not suffer for it.
    async fn rules(&self, cx: &Context, arns: Vec<String>) -> Result<BTreeMap<String, Arc<Held>>, Fault> {
        match self.describe_rules(cx, &arns).await {
            Err(fault) if is_missing(&fault) => {
                let mut found = BTreeMap::new();
                for arn in arns.chunks(1).filter(|_| arns.len() > 1) {
                    found.extend(none_if_missing(self.describe_rules(cx, arn).await)?);
                }
                Ok(found)
            }
            answer => answer,
        }
    }

    async fn describe_rules(
        &self,
        cx: &Context,
        arns: &[String],
    ) -> Result<BTreeMap<String, Arc<Held>>, Fault> {
        let intent = Intent::read(ELB, "DescribeRules", names(arns));
        let answer = call(&self.aws, cx, &intent, |config| {
            Client::new(&config).describe_rules().set_rule_arns(Some(arns.to_vec())).send()
        })
        .await?;
        let rules = answer.rules.unwrap_or_default().into_iter();
        let held = |actions: Option<Vec<Action>>, default| {
            Arc::new(Held { actions: actions.unwrap_or_default(), default_rule: default == Some(true) })
        };
        Ok(rules.filter_map(|r| Some((r.rule_arn?, held(r.actions, r.is_default)))).collect())
    }

    async fn listeners(&self, cx: &Context, arns: Vec<String>) -> Result<BTreeMap<String, Arc<Held>>, Fault> {
        match self.describe_listeners(cx, &arns).await {
            Err(fault) if is_missing(&fault) => {
                let mut found = BTreeMap::new();
                for arn in arns.chunks(1).filter(|_| arns.len() > 1) {
                    found.extend(none_if_missing(self.describe_listeners(cx, arn).await)?);
                }
                Ok(found)
            }
            answer => answer,
        }
    }

    async fn describe_listeners(
        &self,
        cx: &Context,
        arns: &[String],
    ) -> Result<BTreeMap<String, Arc<Held>>, Fault> {
        let intent = Intent::read(ELB, "DescribeListeners", names(arns));
        let answer = call(&self.aws, cx, &intent, |config| {
            Client::new(&config).describe_listeners().set_listener_arns(Some(arns.to_vec())).send()
        })
        .await?;
        let found = answer.listeners.unwrap_or_default().into_iter();
        let held = |actions: Option<Vec<Action>>| {
            Arc::new(Held { actions: actions.unwrap_or_default(), default_rule: false })
        };
        Ok(found.filter_map(|l| Some((l.listener_arn?, held(l.default_actions)))).collect())
    }

    /// Replaces the actions; conditions, certificates and all else stay as they are.
    pub async fn replace(&self, cx: &Context, place: &Place, actions: Vec<Action>) -> Result<(), Fault> {
        match place {
            Place::Rule(arn) => {
                let intent = Intent::write(ELB, "ModifyRule", place.object());
                call(&self.aws, cx, &intent, |config| {
                    let ask = Client::new(&config).modify_rule().rule_arn(arn);
                    ask.set_actions(Some(actions.clone())).send()
                })
                .await
                .map(|_| ())
            }
            Place::Listener(arn) => {
                let intent = Intent::write(ELB, "ModifyListener", place.object());
                call(&self.aws, cx, &intent, |config| {
                    let ask = Client::new(&config).modify_listener().listener_arn(arn);
                    ask.set_default_actions(Some(actions.clone())).send()
                })
                .await
                .map(|_| ())
            }
        }
    }

    pub async fn health(&self, cx: &Context, group: &str) -> Result<Vec<TargetHealthDescription>, Fault> {
        let intent = Intent::read(ELB, "DescribeTargetHealth", resource_of(group));
        let answer = call(&self.aws, cx, &intent, |config| {
            Client::new(&config).describe_target_health().target_group_arn(group).send()
        })
        .await?;
        Ok(answer.target_health_descriptions.unwrap_or_default())
    }

    pub async fn groups(&self, cx: &Context, arns: &[String]) -> Result<Vec<TargetGroup>, Fault> {
        let intent = Intent::read(ELB, "DescribeTargetGroups", names(arns));
        let answer = call(&self.aws, cx, &intent, |config| {
            Client::new(&config).describe_target_groups().set_target_group_arns(Some(arns.to_vec())).send()
        })
        .await?;
        Ok(answer.target_groups.unwrap_or_default())
    }

    pub async fn attributes(&self, cx: &Context, group: &str) -> Result<BTreeMap<String, String>, Fault> {
        let intent = Intent::read(ELB, "DescribeTargetGroupAttributes", resource_of(group));
        let answer = call(&self.aws, cx, &intent, |config| {
            Client::new(&config).describe_target_group_attributes().target_group_arn(group).send()
        })
        .await?;
        let found = answer.attributes.unwrap_or_default().into_iter();
        Ok(found.filter_map(|a| Some((a.key?, a.value?))).collect())
    }
}

fn names(arns: &[String]) -> String {
    arns.iter().map(|arn| resource_of(arn)).collect::<Vec<_>>().join(", ")
}

/// The forward action of a rule, as far as weights go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// ARN and weight of every group.
    pub groups: Vec<(String, u64)>,
    /// Seconds for which a client stays with its group.
    pub sticky_seconds: Option<i32>,
}

impl Forward {
    /// What the actions say; otherwise what they do instead of forwarding.
    pub fn of(actions: &[Action]) -> Result<Self, String> {
        let Some(action) = actions.iter().find(|a| is_forward(a)) else {
            let kinds: Vec<_> =
                actions.iter().filter_map(|a| a.r#type()).map(ActionTypeEnum::as_str).collect();
            return Err(format!("it does not forward to target groups, its action is {}", kinds.join(", ")));
        };
        let tuples = action.forward_config().map(ForwardActionConfig::target_groups).unwrap_or_default();
        let mut groups: Vec<_> = tuples.iter().filter_map(weight).collect();
        if let (true, Some(only)) = (groups.is_empty(), action.target_group_arn()) {
            groups.push((only.to_string(), 1));
        }
        let sticky = action.forward_config().and_then(|f| f.target_group_stickiness_config());
        let sticky = sticky.filter(|s| s.enabled() == Some(true));
        Ok(Forward { groups, sticky_seconds: sticky.map(|s| s.duration_seconds().unwrap_or_default()) })
    }

    /// The weight of a group; one that is not attached has none.
    pub fn weight(&self, group: &str) -> Option<u64> {
        self.groups.iter().find(|(arn, _)| arn == group).map(|(_, weight)| *weight)
    }
}

fn weight(tuple: &TargetGroupTuple) -> Option<(String, u64)> {
    let weight = tuple.weight().map_or(1, |weight| u64::try_from(weight).unwrap_or_default());
    Some((tuple.target_group_arn()?.to_string(), weight))
}

fn is_forward(action: &Action) -> bool {
    action.r#type() == Some(&ActionTypeEnum::Forward)
}

/// The same actions with these weights. Other actions, other groups and stickiness stay; a group that is
/// not there yet is attached.
pub fn with_weights(actions: &[Action], weights: &[(&str, u64)]) -> Vec<Action> {
    let mut actions = actions.to_vec();
    for action in &mut actions {
        // the secret is never shown, and is lost unless it is said that it stays
        if let Some(oidc) = &mut action.authenticate_oidc_config
            && oidc.client_secret.is_none()
        {
            oidc.use_existing_client_secret = Some(true);
        }
        if !is_forward(action) {
            continue;
        }
        let only = action.target_group_arn.take();
        let forward = action.forward_config.get_or_insert_with(|| ForwardActionConfig::builder().build());
        let tuples = forward.target_groups.get_or_insert_default();
        if let (true, Some(only)) = (tuples.is_empty(), only) {
            tuples.push(TargetGroupTuple::builder().target_group_arn(only).weight(1).build());
        }
        for &(group, weight) in weights {
            let weight = i32::try_from(weight).unwrap_or(i32::MAX);
            match tuples.iter_mut().find(|tuple| tuple.target_group_arn() == Some(group)) {
                Some(tuple) => tuple.weight = Some(weight),
                None => {
                    tuples.push(TargetGroupTuple::builder().target_group_arn(group).weight(weight).build())
                }
            }
        }
    }
    actions
}

fn is_missing(fault: &Fault) -> bool {
    fault.treat == Treat::Permanent && fault.detail.contains("NotFound")
}

/// What is missing is not found; another fault says nothing about that.
fn none_if_missing<T: Default>(answer: Result<T, Fault>) -> Result<T, Fault> {
    match answer {
        Err(fault) if is_missing(&fault) => Ok(T::default()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_elasticloadbalancingv2::types::{
        AuthenticateOidcActionConfig, FixedResponseActionConfig, TargetGroupStickinessConfig,
    };

    fn tuple(arn: &str, weight: i32) -> TargetGroupTuple {
        TargetGroupTuple::builder().target_group_arn(arn).weight(weight).build()
    }

    #[test]
    fn only_the_weights_of_the_two_groups_change() {
        let oidc = AuthenticateOidcActionConfig::builder().client_id("id").issuer("https://id").build();
        let sticky = TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(60).build();
        let config = ForwardActionConfig::builder()
            .target_groups(tuple("blue", 1))
            .target_groups(tuple("other", 7))
            .target_group_stickiness_config(sticky.clone());
        let before = [
            Action::builder()
                .r#type(ActionTypeEnum::AuthenticateOidc)
                .order(1)
                .authenticate_oidc_config(oidc)
                .build(),
            Action::builder().r#type(ActionTypeEnum::Forward).order(2).forward_config(config.build()).build(),
        ];
        let after = with_weights(&before, &[("blue", 90), ("green", 10)]);
        let oidc = after[0].authenticate_oidc_config().unwrap();
        assert_eq!((oidc.client_id(), oidc.use_existing_client_secret()), (Some("id"), Some(true)));
        let forward = after[1].forward_config().unwrap();
        assert_eq!(forward.target_groups(), [tuple("blue", 90), tuple("other", 7), tuple("green", 10)]);
        assert_eq!(forward.target_group_stickiness_config(), Some(&sticky));
        assert_eq!((after.len(), after[1].order()), (2, Some(2)));
        let read = Forward::of(&after).unwrap();
        assert_eq!(
            (read.weight("blue"), read.weight("nobody"), read.sticky_seconds),
            (Some(90), None, Some(60))
        );
    }

    #[test]
    fn an_action_for_a_single_group_becomes_a_weighted_one() {
        let before = [Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn("blue").build()];
        assert_eq!(Forward::of(&before).unwrap().groups, [("blue".to_string(), 1)]);
        let after = with_weights(&before, &[("green", 0)]);
        assert_eq!(after[0].target_group_arn(), None);
        assert_eq!(after[0].forward_config().unwrap().target_groups(), [tuple("blue", 1), tuple("green", 0)]);
    }

    #[test]
    fn what_does_not_forward_is_named() {
        let fixed = FixedResponseActionConfig::builder().status_code("503").build();
        let action =
            Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(fixed).build();
        assert!(Forward::of(&[action]).unwrap_err().contains("fixed-response"));
    }

    #[test]
    fn an_arn_says_what_it_is() {
        let arn = |what: &str| format!("arn:aws:elasticloadbalancing:eu-west-1:1:{what}");
        let rule = Place::new(&arn("listener-rule/app/shop/a1/b2/c3")).unwrap();
        assert_eq!(rule.load_balancer(), "app/shop/a1");
        assert!(matches!(rule, Place::Rule(_)));
        let listener = Place::new(&arn("listener/app/shop/a1/b2")).unwrap();
        assert_eq!(listener.load_balancer(), "app/shop/a1");
        assert!(matches!(listener, Place::Listener(_)));
        assert!(
            Place::new(&arn("listener/net/shop/a1/b2")).unwrap_err().contains("Application Load Balancer")
        );
        assert!(Place::new(&arn("targetgroup/shop/a1")).is_err());
    }
}
