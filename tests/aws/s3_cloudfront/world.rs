//! A bucket with a site in it, and a folder that a build wrote.

use aws_sdk_cloudfront::types::{
    DefaultCacheBehavior, DistributionConfig, Origin, Origins, S3OriginConfig, ViewerProtocolPolicy,
};
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    primitives::ByteStream,
    types::{BucketLocationConstraint, CreateBucketConfiguration},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};
use tempfile::TempDir;
use tidegate::{
    adapter::target::s3_cloudfront::Site,
    domain::{names::SideName, observed::Observed, share::Share},
    port::{
        Change, Fault, Shared, Target,
        adapter::{Setting, TargetAdapter},
    },
};

use crate::{
    double::{self, Double, KEY_ID, REGION, SECRET},
    moto::Moto,
    proxy::Proxy,
};

pub const BUCKET: &str = "shop-web";

/// What the site was before tidegate came: `aws s3 sync` had put it there.
pub const BEFORE: [(&str, &str); 6] = [
    ("index.html", "<script src=/assets/app-0a1b2c3d.js>"),
    ("about.html", "about, by hand"),
    ("favicon.ico", "icon 0"),
    ("assets/app-0a1b2c3d.js", "app 0"),
    ("old/page.html", "nobody's"),
    ("assets/logo-9f8e7d6c.svg", "logo"),
];
pub const FIRST: [(&str, &str); 6] = [
    ("index.html", "<script src=/assets/app-1a1b2c3d.js>"),
    ("about.html", "about 1"),
    ("news/index.html", "news 1"),
    ("favicon.ico", "icon 1"),
    ("assets/app-1a1b2c3d.js", "app 1"),
    ("assets/logo-9f8e7d6c.svg", "logo"),
];
pub const SECOND: [(&str, &str); 5] = [
    ("index.html", "<script src=/assets/app-2a1b2c3d.js>"),
    ("news/index.html", "news 2"),
    ("shop list/über.html", "list 2"),
    ("favicon.ico", "icon 1"),
    ("assets/app-2a1b2c3d.js", "app 2"),
];

pub enum Server {
    Double(Double),
    Moto(Moto),
}

pub struct World {
    pub server: Server,
    pub folder: TempDir,
    /// Of the target; merged with what is always there.
    pub options: Value,
    pub setting: Setting,
}

/// A live object: its body, type and caching.
pub type Live = BTreeMap<String, (String, String, String)>;

impl World {
    pub async fn double() -> World {
        let world = World::empty().await;
        world.site_before(&BEFORE).await;
        world
    }

    /// A double with nothing in its bucket.
    pub async fn empty() -> World {
        let double = Double::start();
        double.state().cloudfront.before("E1", BUCKET, "");
        World::on(Server::Double(double), "E1".into()).await
    }

    pub async fn moto() -> World {
        let moto = Moto::start();
        let distribution = distribution(&moto.url).await;
        let world = World::on(Server::Moto(moto), distribution).await;
        world.site_before(&BEFORE).await;
        world
    }

    async fn on(server: Server, distribution: String) -> World {
        let options = json!({"bucket": BUCKET, "distribution": distribution, "upload": "dist"});
        let folder = tempfile::tempdir().unwrap();
        let world = World { server, setting: double::setting(folder.path()), folder, options };
        match &world.server {
            Server::Double(double) => double.state().s3.bucket(BUCKET),
            Server::Moto(_) => create(&world.client(), BUCKET).await,
        }
        world
    }

    pub fn url(&self) -> &str {
        match &self.server {
            Server::Double(double) => &double.url,
            Server::Moto(moto) => &moto.url,
        }
    }

    pub fn as_double(&self) -> &Double {
        match &self.server {
            Server::Double(double) => double,
            Server::Moto(_) => panic!("moto has no such thing"),
        }
    }

    pub fn client(&self) -> Client {
        client(self.url())
    }

    async fn site_before(&self, files: &[(&str, &str)]) {
        for (name, body) in files {
            self.put(name, body).await;
        }
    }

    /// As somebody else would.
    pub async fn put(&self, key: &str, body: &str) {
        let kind = match key.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript",
            Some("svg") => "image/svg+xml",
            _ => "image/x-icon",
        };
        let put = self.client().put_object().bucket(BUCKET).key(key).content_type(kind);
        let put = put.cache_control("max-age=60").metadata("by", "hand");
        put.body(ByteStream::from(body.as_bytes().to_vec())).send().await.unwrap();
    }

    /// Writes what the build made, and nothing else.
    pub fn build(&self, files: &[(&str, &str)]) {
        let dist = self.folder.path().join("dist");
        let _ = fs::remove_dir_all(&dist);
        write(&dist, files);
    }

    pub fn target(&self) -> Box<dyn Target> {
        self.target_at(self.url())
    }

    pub fn through(&self, proxy: &Proxy) -> Box<dyn Target> {
        self.target_at(&proxy.url)
    }

    /// As a process of its own sees it at this address.
    pub fn target_at(&self, url: &str) -> Box<dyn Target> {
        let mut options = self.options.clone();
        options["aws"] = serde_json::to_value(double::access(url)).unwrap();
        let config = serde_json::from_value(options).unwrap();
        let setting = Setting { shared: Shared::default(), ..self.setting.clone() };
        Site::connect(config, &setting).unwrap()
    }

    /// All that is live, without what is tidegate's own.
    pub async fn live(&self) -> Live {
        live(&self.client(), BUCKET).await
    }

    pub async fn deploy(&self, side: &str, release: &str) -> Result<(), Fault> {
        self.target().apply(&double::within(60), &deployed(side, release)).await
    }

    /// Switches as the engine does: apply, then look until it is true.
    pub async fn switch(&self, side: &str) {
        let target = self.target();
        target.apply(&double::within(30), &switched(side)).await.unwrap();
        self.until(side).await;
    }

    pub async fn until(&self, side: &str) {
        let target = self.target();
        for _ in 0..20 {
            if target.split(&double::within(30)).await.unwrap()[&name(side)] == Share::ALL {
                return;
            }
        }
        panic!("{side} never gets all");
    }

    pub async fn observe(&self) -> Observed {
        self.target().observe(&double::within(30)).await.unwrap()
    }

    /// The shares of blue and green, in percent.
    pub async fn shares(&self) -> [u16; 2] {
        let split = self.target().split(&double::within(30)).await.unwrap();
        ["blue", "green"].map(|side| split[&name(side)].basis_points() / 100)
    }

    /// A first release, deployed and switched to.
    pub async fn with_first(self) -> World {
        self.build(&FIRST);
        self.deploy("green", "v1").await.unwrap();
        self.switch("green").await;
        self
    }
}

pub fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, body) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, body).unwrap();
    }
}

pub fn client(url: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(KEY_ID, SECRET, None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .force_path_style(true);
    Client::from_conf(config.build())
}

pub async fn create(client: &Client, bucket: &str) {
    let place = BucketLocationConstraint::from(REGION);
    let place = CreateBucketConfiguration::builder().location_constraint(place).build();
    client.create_bucket().bucket(bucket).create_bucket_configuration(place).send().await.unwrap();
}

pub async fn live(client: &Client, bucket: &str) -> Live {
    let listed = client.list_objects_v2().bucket(bucket).send().await.unwrap();
    let mut found = Live::new();
    for object in listed.contents.unwrap_or_default() {
        let key = object.key.unwrap();
        if key.contains(".tidegate/") {
            continue;
        }
        let got = client.get_object().bucket(bucket).key(&key).send().await.unwrap();
        let (kind, cached) = (got.content_type.unwrap_or_default(), got.cache_control.unwrap_or_default());
        let body = String::from_utf8(got.body.collect().await.unwrap().to_vec()).unwrap();
        found.insert(key, (body, kind, cached));
    }
    found
}

pub fn bodies(live: &Live) -> BTreeMap<&str, &str> {
    live.iter().map(|(key, (body, _, _))| (key.as_str(), body.as_str())).collect()
}

pub fn name(side: &str) -> SideName {
    SideName::new(side).unwrap()
}

pub fn deployed(side: &str, release: &str) -> Change {
    Change::Deploy { side: name(side), release: release.parse().unwrap(), artifact: None }
}

pub fn switched(side: &str) -> Change {
    let other = if side == "blue" { "green" } else { "blue" };
    Change::Share([(name(side), Share::ALL), (name(other), Share::NONE)].into())
}

async fn distribution(url: &str) -> String {
    let config = aws_sdk_cloudfront::Config::builder()
        .behavior_version(aws_sdk_cloudfront::config::BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(KEY_ID, SECRET, None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    let client = aws_sdk_cloudfront::Client::from_conf(config.build());
    let origin = Origin::builder()
        .id("bucket")
        .domain_name(format!("{BUCKET}.s3.{REGION}.amazonaws.com"))
        .s3_origin_config(S3OriginConfig::builder().origin_access_identity("").build())
        .build()
        .unwrap();
    let behaviour = DefaultCacheBehavior::builder()
        .target_origin_id("bucket")
        .viewer_protocol_policy(ViewerProtocolPolicy::RedirectToHttps);
    let config = DistributionConfig::builder()
        .caller_reference("test")
        .origins(Origins::builder().quantity(1).items(origin).build().unwrap())
        .default_cache_behavior(behaviour.build().unwrap())
        .default_root_object("index.html")
        .comment("")
        .enabled(true)
        .build()
        .unwrap();
    let made = client.create_distribution().distribution_config(config).send().await.unwrap();
    made.distribution.unwrap().id
}
