//! Under construction.

use super::{Answer, Request, State};

#[derive(Default)]
pub struct Elb {}

impl Elb {
    pub fn answer(&mut self, request: &Request, _others: &mut State) -> Answer {
        Answer::unknown(request)
    }
}
