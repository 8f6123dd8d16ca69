//! Under construction.

use super::{Answer, Request, State};

#[derive(Default)]
pub struct Lambda {}

impl Lambda {
    pub fn answer(&mut self, request: &Request, _others: &mut State) -> Answer {
        Answer::unknown(request)
    }
}
