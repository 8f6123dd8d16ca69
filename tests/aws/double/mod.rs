//! A strict stand-in for AWS on loopback: the same wire protocols, and the truth where other stand-ins lie.

mod cloudfront;
mod cloudwatch;
mod ecs;
mod elb;
mod lambda;
mod rds;
mod s3;
mod sts;
