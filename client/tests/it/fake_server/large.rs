//! Answers and snapshots that no frame holds, as the fake server sends them.

use bytes::Bytes;
use quinn::{Connection, SendStream};
use selvedge_protocol::frame::{Gap, LargeGap, ServerFrame};
use selvedge_protocol::task_payload::Piece;
use selvedge_protocol::{ErrorCode, Failure, attachment};

use super::{FakeServer, Faults, World, take, write};

impl FakeServer {
    /// Sends a large answer, twice if answers are repeated; gives a small one back.
    pub(super) async fn large(
        &self,
        connection: &Connection,
        frame: ServerFrame,
    ) -> Option<Option<ServerFrame>> {
        let ServerFrame::Reply(mut reply) = frame else {
            return Some(Some(frame));
        };
        let Some(body) = attachment::detach(&mut reply) else {
            return Some(Some(ServerFrame::Reply(reply)));
        };
        let times = 1 + u32::from(self.look(|world| world.faults.repeat_answers));
        for _ in 0..times {
            let mut send = connection.open_uni().await.ok()?;
            write(&mut send, &ServerFrame::Reply(reply.clone())).await?;
            let half = &body[..body.len() / 2];
            if self.look(|world| take(&mut world.faults.cut_answers)) {
                send.write_all(half).await.ok()?;
            } else if self.look(|world| take(&mut world.faults.drop_in_answer)) {
                send.write_all(half).await.ok()?;
                return None;
            } else {
                send.write_all(&body).await.ok()?;
                if self.look(|world| take(&mut world.faults.overlong_answers)) {
                    send.write_all(b"more").await.ok()?;
                }
            }
            let _ = send.finish();
        }
        Some(None)
    }
}

impl World {
    /// What comes next of a task's payload: half a megabyte, whatever the real bound is.
    pub(super) fn piece(&mut self, piece: Piece) -> Result<Bytes, Failure> {
        let Some(payload) = self.task_payloads.get(&piece.lease) else {
            return Err(Failure::new(ErrorCode::Conflict, "not your lease"));
        };
        self.pieces.push(piece.from);
        let from = usize::try_from(piece.from).unwrap();
        Ok(payload.slice(from..payload.len().min(from + 512 * 1024)))
    }
}

/// The gap up to what is forgotten, with its snapshot.
pub(super) async fn write_gap(
    send: &mut SendStream,
    subscription: u64,
    after: u64,
    faults: &Faults,
) -> Option<()> {
    let seq = faults.forgotten;
    if faults.snapshot_bytes == 0 {
        let gap = Gap {
            subscription,
            after,
            seq,
            snapshot: Bytes::from_static(b"\"snapshot\""),
        };
        return write(send, &ServerFrame::Gap(gap)).await;
    }
    let gap = LargeGap {
        subscription,
        after,
        seq,
        length: faults.snapshot_bytes as u64,
    };
    write(send, &ServerFrame::LargeGap(gap)).await?;
    let snapshot = vec![b'0'; faults.snapshot_bytes];
    send.write_all(&snapshot).await.ok()
}
