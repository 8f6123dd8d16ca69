//! Under construction.

use super::{Answer, Request, State};

#[derive(Default)]
pub struct Ecs {}

impl Ecs {
    pub fn answer(&mut self, request: &Request, _others: &mut State) -> Answer {
        Answer::unknown(request)
    }
}
