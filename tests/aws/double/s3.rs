//! Under construction.

use super::{Answer, Request, State};

#[derive(Default)]
pub struct S3 {}

impl S3 {
    pub fn answer(&mut self, request: &Request, _others: &mut State) -> Answer {
        Answer::unknown(request)
    }
}
