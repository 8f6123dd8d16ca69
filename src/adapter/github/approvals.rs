//! Who approved a run of a workflow, where its environment asks for reviewers.

use serde::Deserialize;

use super::{Access, Call, GitHub, PROVIDER};
use crate::port::{Context, Fault, adapter::Environment};

#[derive(Deserialize)]
struct Review {
    state: String,
    #[serde(default)]
    user: Option<User>,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

/// Logins of those who approved the run with this id, each once, in the order in which GitHub has them. The
/// token needs `actions: read`.
pub async fn approvers(
    cx: &Context,
    access: &Access,
    env: &Environment,
    run: &str,
) -> Result<Vec<String>, Fault> {
    const OPERATION: &str = "read the run's approvals";
    let github = GitHub::alone(access, None, env)
        .map_err(|why| Fault::permanent(PROVIDER, OPERATION, format!("run {run}"), why))?;
    let route = github.route(&format!("/actions/runs/{}/approvals", crate::adapter::web::escape(run)));
    let call = Call::get(OPERATION, format!("run {run}"), route, "actions: read");
    let reviews: Vec<Review> = github.ask(cx, &call).await?.json(&call)?;
    let mut names = Vec::new();
    for review in reviews.into_iter().filter(|review| review.state == "approved") {
        names.extend(review.user.map(|user| user.login).filter(|login| !names.contains(login)));
    }
    Ok(names)
}
