//! The ways to credentials that go through the environment of a process, by the real binary.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{path::Path, process::Command, sync::Arc};

use crate::{
    double::{self, Double, KEY_ID, SECRET, USER},
    stage::{Ran, Stage},
    wire::Listener,
};

const LOOK: &str = "status --output json";
const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";

struct World {
    double: Double,
    stage: Stage,
}

impl World {
    /// `aws` are the options of the journal.
    async fn make(aws: &str) -> World {
        let double = Double::start();
        double.state().s3.bucket("releases");
        double.state().sts.role(ROLE, &[USER]);
        let stage = Stage::set(&format!("journal: {{s3: {{bucket: releases, aws: {aws}}}}}\n")).await;
        World { double, stage }
    }

    /// Looks at the journal with the usual environment changed so; a value of nothing takes a variable away.
    async fn look(&self, changes: &[(&str, &str)]) -> Ran {
        let mut variables = double::environment(&self.double.url);
        variables.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        let given = changes.iter().filter(|(_, value)| !value.is_empty());
        variables.extend(given.map(|(name, value)| (name.to_string(), value.to_string())));
        self.stage.run_with("ci/1", LOOK, &variables).await
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.stage.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    }

    fn roles_assumed(&self) -> Vec<Vec<String>> {
        self.double.state().sts.chains.clone()
    }
}

const NO_KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    NO_KEYS.iter().chain(more).copied().collect()
}

#[tokio::test]
async fn keys_region_and_endpoint_of_the_environment_are_enough() {
    let world = World::make("{}").await;
    world.look(&[]).await.ends(0);
    assert_eq!(world.double.operations("s3"), ["ListObjectsV2"]);
    assert!(world.roles_assumed().is_empty());
}

#[tokio::test]
async fn a_profile_with_a_role_and_a_source_profile_is_followed() {
    let profiles = format!(
        "[profile ci]\nregion = eu-west-1\nrole_arn = {ROLE}\nsource_profile = base\n\
         [profile base]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
    );
    let world = World::make("{}").await;
    let file = world.write("aws.ini", &profiles);
    world.look(&with(&[("AWS_CONFIG_FILE", &file), ("AWS_PROFILE", "ci"), ("AWS_REGION", "")])).await.ends(0);
    assert_eq!(world.roles_assumed(), [[ROLE]]);
}

#[tokio::test]
async fn a_profile_that_the_file_names_comes_before_keys_in_the_environment() {
    let profiles = format!(
        "[profile release]\nrole_arn = {ROLE}\nsource_profile = base\n\
         [profile base]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
    );
    let world = World::make("{profile: release}").await;
    let file = world.write("aws.ini", &profiles);
    world.look(&[("AWS_CONFIG_FILE", &file)]).await.ends(0);
    assert_eq!(world.roles_assumed(), [[ROLE]]);
}

#[tokio::test]
async fn a_token_of_the_ci_is_traded_for_a_role() {
    let world = World::make("{}").await;
    world.double.state().sts.role(ROLE, &["web identity"]);
    world.double.state().sts.tokens.push("token-of-the-ci".into());
    let file = world.write("token", "token-of-the-ci");
    let variables = with(&[("AWS_WEB_IDENTITY_TOKEN_FILE", &file), ("AWS_ROLE_ARN", ROLE)]);
    world.look(&variables).await.ends(0);
    assert_eq!(world.double.operations("sts"), ["AssumeRoleWithWebIdentity"]);

    std::fs::write(&file, "forged").unwrap();
    let text = world.look(&variables).await.ends(14).text();
    assert!(text.contains("InvalidIdentityToken") || text.contains("no credentials"), "{text}");
}

#[tokio::test]
async fn a_program_that_gives_credentials_is_asked() {
    let world = World::make("{}").await;
    let answer = world.write(
        "answer.json",
        &format!("{{\"Version\": 1, \"AccessKeyId\": \"{KEY_ID}\", \"SecretAccessKey\": \"{SECRET}\"}}"),
    );
    let file = world.write("aws.ini", &format!("[default]\ncredential_process = cat {answer}\n"));
    world.look(&with(&[("AWS_CONFIG_FILE", &file)])).await.ends(0);
}

#[tokio::test]
async fn no_credentials_at_all_is_told_with_how_to_get_some() {
    let world = World::make("{}").await;
    let ran = world.look(&NO_KEYS).await.ends(14);
    assert!(ran.json()["hint"].as_str().unwrap().contains("configure-aws-credentials"), "{}", ran.text());
    assert!(world.double.calls().is_empty());
}

#[tokio::test]
async fn no_region_is_told_with_where_to_set_it() {
    let world = World::make("{}").await;
    let text = world.look(&[("AWS_REGION", "")]).await.ends(2).text();
    assert!(text.contains("no region is known") && text.contains("AWS_REGION"), "{text}");
}

#[tokio::test]
async fn a_role_that_is_none_or_that_the_job_may_not_ask_for_is_a_mistake_of_the_workflow() {
    let world = World::make("{}").await;
    let text = world.look(&[("TIDEGATE_AWS_ROLE", "deploy")]).await.ends(2).text();
    assert!(text.contains("aws-role: `deploy` is not a role"), "{text}");
    let role = "arn:aws:iam::123456789012:role/deploy";
    let text = world.look(&[("TIDEGATE_AWS_ROLE", role)]).await.ends(2).text();
    assert!(text.contains("id-token: write"), "{text}");
    assert!(world.double.calls().is_empty());
}

#[tokio::test]
async fn a_certificate_is_trusted_if_aws_ca_bundle_has_its_authority() {
    let world = World::make("{}").await;
    let folder = world.stage.folder().to_path_buf();
    let tls = over_tls(&world.double, &folder);
    let url = format!("https://{}", tls.address);
    let bundle = folder.join("ca.pem");
    let bundle = bundle.to_str().unwrap();
    world.look(&[("AWS_ENDPOINT_URL", &url), ("AWS_CA_BUNDLE", bundle)]).await.ends(0);
    assert_eq!(world.double.operations("s3"), ["ListObjectsV2"]);

    let ran = world.look(&[("AWS_ENDPOINT_URL", &url)]).await.ends(14);
    assert!(ran.json()["hint"].as_str().unwrap().contains("AWS_CA_BUNDLE"), "{}", ran.text());
    for (file, text) in [("none.pem", None), ("empty.pem", Some("nothing"))] {
        let path = folder.join(file);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let path = path.to_str().unwrap();
        let text = world.look(&[("AWS_ENDPOINT_URL", &url), ("AWS_CA_BUNDLE", path)]).await.ends(2).text();
        assert!(text.contains("AWS_CA_BUNDLE") && text.contains(file), "{text}");
    }
}

/// The double behind TLS, with a certificate of an authority of its own: `ca.pem` in the folder.
fn over_tls(double: &Double, folder: &Path) -> Listener {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .unwrap_or_else(|e| panic!("openssl: {e}: run `scripts/test`, which installs it"));
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    openssl(&format!("req {key} -keyout leaf.key -out leaf.csr -subj /CN=leaf"));
    openssl(
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out leaf.pem",
    );
    let chain = vec![CertificateDer::from_pem_file(folder.join("leaf.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("leaf.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    double.over(move |stream| {
        rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), stream)
    })
}
