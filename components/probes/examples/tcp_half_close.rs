//! One direction ends, the other goes on: the answer comes after the question's end.

use nexus_sdk::svc::time::timeout;
use nexus_sdk::task::join;
use probes::{Outcome, PATIENCE, pair, pattern, same, success};

async fn run() -> Outcome {
    let (mut near, mut far) = pair().await?;
    let bytes = pattern(300_000);
    let ask = async {
        near.write_all(bytes.as_slice()).await?;
        near.finish()?;
        near.read_to_end(1 << 20).await
    };
    let answer = async {
        let question = far.read_to_end(1 << 20).await?;
        far.write_all(question).await?;
        far.finish()
    };
    let both = async {
        let (answer, end) = join(ask, answer).await;
        end?;
        answer
    };
    let answer = success(timeout(PATIENCE, both).await, "question and answer")?;
    same(answer.len(), bytes.len(), "the length")?;
    same(answer == bytes, true, "the bytes are the same")
}

nexus_sdk::main!(run);
