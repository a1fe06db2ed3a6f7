//! What the frames of the server do to the session, and what they mean for its callers.

use super::pending::Pending;
use super::{Machine, Output, backoff_ms};
use crate::attachment;
use crate::error::{ErrorCode, Failure};
use crate::frame::{ClientFrame, Goodbye, Outcome, Reply, Request, ServerFrame, Success, Welcome};
use crate::limits;
use crate::servers;
use crate::version;

impl<C, S> Machine<C, S> {
    /// Carries out a frame of the server. `random` spreads retries; any value is right.
    pub fn handle(&mut self, frame: ServerFrame, random: u32, out: &mut Vec<u8>) -> Output<C, S> {
        match frame {
            ServerFrame::Welcome(welcome) => self.handle_welcome(welcome, out),
            ServerFrame::Reply(reply) if !matches!(attachment::length(&reply), Ok(None)) => {
                violation("an answer came without the body that it announces")
            }
            ServerFrame::Reply(reply) if self.is_ready => self.handle_reply(reply, random, out),
            ServerFrame::Notice(notice) => self.handle_notice(notice, out),
            ServerFrame::Redirect(redirect) => Output::Reconnect {
                address: Some(redirect.address),
                reason: Failure::new(ErrorCode::Unavailable, "the server named another node"),
            },
            ServerFrame::Goodbye(goodbye) => self.handle_goodbye(goodbye),
            ServerFrame::Pong(_) => Output::None,
            ServerFrame::Reply(_) => violation("an answer came before the welcome"),
            ServerFrame::Event(_) | ServerFrame::Gap(_) | ServerFrame::LargeGap(_) => {
                violation("an event came outside the stream of its subscription")
            }
            ServerFrame::Ephemeral(_) => violation("an ephemeral message came outside a datagram"),
            ServerFrame::Task(task) => self.handle_task(task),
            ServerFrame::Chunk(_) | ServerFrame::Window(_) => {
                violation("a frame came that goes over WebSocket only")
            }
        }
    }

    fn handle_welcome(&mut self, welcome: Welcome, out: &mut Vec<u8>) -> Output<C, S> {
        if self.is_ready {
            return violation("a second welcome came");
        }
        if !version::SPOKEN.contains(&welcome.version)
            || welcome.resume_token.len() > limits::TOKEN_BYTES_MAX
        {
            return violation("the welcome is not one that this client can use");
        }
        let servers = servers::named(&welcome.ext);
        let resumed = welcome.resumed && self.session == Some(welcome.session);
        let unknown = if self.session.is_some() && !resumed {
            self.start_over()
        } else {
            Vec::new()
        };
        self.session = Some(welcome.session);
        self.resume = Some(welcome.resume_token);
        self.limits = welcome.limits;
        self.is_ready = true;
        for (&number, subscription) in &mut self.subscriptions {
            subscription.is_parked = false;
            subscription.send(number, out);
        }
        self.command_to_send = self.acknowledged + 1;
        self.send_commands(out);
        self.query_to_send = self
            .queries
            .keys()
            .next()
            .copied()
            .unwrap_or(self.next_query);
        self.send_queries(out);
        self.send_ready(resumed, out);
        Output::Ready {
            resumed,
            unknown,
            servers,
        }
    }

    /// The old session is gone. Commands that cannot have taken effect, or that are recognised by an id
    /// of their own, are numbered anew; what became of the others nobody can tell.
    fn start_over(&mut self) -> Vec<C> {
        let mut unknown = Vec::new();
        let mut number = self.acknowledged;
        let never_sent = self.command_never_sent;
        self.acknowledged = 0;
        self.acknowledged_sent = 0;
        self.command_never_sent = 1;
        for slot in std::mem::take(&mut self.commands) {
            number += 1;
            let Some(mut pending) = slot else { continue };
            if number < never_sent && !pending.is_recognised() {
                unknown.push(pending.ticket);
                continue;
            }
            if let ClientFrame::Command(command) = &mut pending.frame {
                command.number = self.commands.len() as u64 + 1;
            }
            pending.is_parked = false;
            self.commands.push_back(Some(pending));
        }
        unknown
    }

    fn handle_reply(&mut self, reply: Reply, random: u32, out: &mut Vec<u8>) -> Output<C, S> {
        let request = reply.request;
        if let Request::Subscription(number) = request {
            return self.handle_subscription_reply(number, reply.outcome, random);
        }
        if let Outcome::Failure(failure) = &reply.outcome
            && let Some(pending) = self.pending(request)
            && let Some(wait_ms) = pending.wait_ms(failure, random)
        {
            return Output::Wait {
                request,
                wait_ms,
                waited_ms: pending.waited_ms,
                failure: failure.clone(),
            };
        }
        let ticket = match request {
            Request::Command(number) => self.take_command(number).map(|pending| pending.ticket),
            Request::Query(number) => self.queries.remove(&number).map(|pending| pending.ticket),
            Request::Subscription(_) => None,
        };
        // Nobody waits for it: a repeat of an answer that was given before.
        let Some(ticket) = ticket else {
            return Output::None;
        };
        self.send_commands(out);
        self.send_queries(out);
        Output::Answer {
            ticket,
            outcome: reply.outcome,
        }
    }

    fn pending(&mut self, request: Request) -> Option<&mut Pending<C>> {
        match request {
            Request::Command(number) => self.pending_command(number),
            Request::Query(number) => self.queries.get_mut(&number).map(|pending| &mut **pending),
            Request::Subscription(_) => None,
        }
    }

    fn handle_subscription_reply(
        &mut self,
        number: u64,
        outcome: Outcome,
        random: u32,
    ) -> Output<C, S> {
        let Some(subscription) = self.subscriptions.get_mut(&number) else {
            return Output::None;
        };
        match outcome {
            Outcome::Success(Success { seq, .. }) => {
                subscription.cursor.began_at(seq);
                Output::None
            }
            Outcome::Failure(failure) if failure.code.may_be_retried() => {
                subscription.is_parked = true;
                subscription.attempts += 1;
                let wait_ms = backoff_ms(subscription.attempts, random)
                    .max(failure.retry_after_ms.unwrap_or(0));
                Output::Wait {
                    request: Request::Subscription(number),
                    wait_ms,
                    // Waits double: all of them come to twice the last.
                    waited_ms: wait_ms.saturating_mul(2),
                    failure,
                }
            }
            Outcome::Failure(failure) => {
                self.subscriptions
                    .remove(&number)
                    .map_or(Output::None, |subscription| Output::SubscriptionEnded {
                        ticket: subscription.ticket,
                        failure,
                    })
            }
        }
    }

    fn handle_goodbye(&mut self, goodbye: Goodbye) -> Output<C, S> {
        let Some(failure) = goodbye.failure else {
            return Output::Reconnect {
                address: None,
                reason: Failure::new(ErrorCode::Unavailable, "the server ended the connection"),
            };
        };
        if failure.code == ErrorCode::SessionExpired && self.resume.take().is_some() {
            return Output::Reconnect {
                address: None,
                reason: failure,
            };
        }
        // It was let in: its credential has ended meanwhile, and the present one is judged with the next Hello.
        let has_ended = failure.code == ErrorCode::Unauthenticated && self.is_ready;
        if failure.code.may_be_retried() || failure.code == ErrorCode::Internal || has_ended {
            return Output::Reconnect {
                address: None,
                reason: failure,
            };
        }
        Output::Closed(failure)
    }
}

pub(super) fn violation<C, S>(message: &str) -> Output<C, S> {
    Output::Reconnect {
        address: None,
        reason: Failure::new(ErrorCode::Malformed, message),
    }
}
