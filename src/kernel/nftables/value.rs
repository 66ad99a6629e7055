//! Values and verdicts inside expressions and elements (`struct nft_data`).

use super::number;
use crate::kernel::nla::{self, text_of};
use crate::model::Judgement;

/// What a piece of data is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data<'a> {
    /// Bytes of a register.
    Value(&'a [u8]),
    /// What becomes of the packet.
    Verdict(Judgement),
}

/// The data in an attribute; none: podnet does not know it.
pub(super) fn data(attribute: &[u8]) -> Option<Data<'_>> {
    const VALUE: u16 = 1;
    const VERDICT: u16 = 2;
    match nla::find(attribute, VALUE) {
        Some(value) => Some(Data::Value(value)),
        None => nla::find(attribute, VERDICT).and_then(verdict).map(Data::Verdict),
    }
}

/// The bytes in an attribute.
pub(super) fn bytes(attribute: &[u8]) -> Option<&[u8]> {
    match data(attribute)? {
        Data::Value(value) => Some(value),
        Data::Verdict(_) => None,
    }
}

fn verdict(attribute: &[u8]) -> Option<Judgement> {
    const CODE: u16 = 1;
    const CHAIN: u16 = 2;
    let code = nla::find(attribute, CODE).and_then(number)?;
    let chain = || nla::find(attribute, CHAIN).map(text_of);
    Some(match code as i32 {
        // NFT_CONTINUE; NFT_BREAK, with which the rule ends and the next one is asked
        -1 | -2 => Judgement::Continue,
        // NFT_JUMP, NFT_GOTO, NFT_RETURN
        -3 => Judgement::Jump(chain()?),
        -4 => Judgement::Goto(chain()?),
        -5 => Judgement::Return,
        // The upper bits carry an errno or the number of a queue.
        other => match other & 0xff {
            0 => Judgement::Drop,
            1 => Judgement::Accept,
            3 => Judgement::Other("queue".to_owned()),
            _ => Judgement::Other("verdict".to_owned()),
        },
    })
}
