"""How far a quantized model is from its reference on a text: KL divergence and perplexity.

    KL = mean over positions of  sum over tokens of  P_reference * (log P_reference - log P_model)

in nats. The standard error is that of the mean over whole sequences, since positions of the same
sequence are not independent.
"""

from dataclasses import dataclass

import torch

from python.model.transformer import GemmaModel

# Tokens of the vocabulary whose logits are in memory at a time, for all positions of a sequence.
_VOCABULARY_BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """kl: float64 [sequences], the mean of each.

    surprise: the same of -log P(next token), of the model and of the reference.
    """

    kl: torch.Tensor
    surprise: torch.Tensor
    reference_surprise: torch.Tensor

    @property
    def mean_kl(self) -> float:
        return float(self.kl.mean())

    @property
    def kl_error(self) -> float:
        return _standard_error(self.kl)

    @property
    def perplexity(self) -> float:
        return float(self.surprise.mean().exp())

    @property
    def reference_perplexity(self) -> float:
        return float(self.reference_surprise.mean().exp())

    def kl_difference(self, other: "Divergence") -> tuple[float, float]:
        """Mean of this one's KL minus the other's on the same text, and its standard error."""
        difference = self.kl - other.kl
        return float(difference.mean()), _standard_error(difference)


@dataclass(frozen=True, kw_only=True)
class ReferenceOutputs:
    """What a model says on a text, as hidden states and the head, without its logits.

    hidden: [sequences, tokens, hidden], behind the final norm; tokens: int64 [sequences, tokens].
    """

    tokens: torch.Tensor
    hidden: torch.Tensor
    head: torch.Tensor
    softcap: float | None


@torch.inference_mode()
def reference_outputs(model: GemmaModel, tokens: torch.Tensor) -> ReferenceOutputs:
    """Runs the model on every sequence of tokens, int64 [sequences, tokens]."""
    zero = torch.tensor([0])
    hidden = [model.norm(model.hidden(row[None], zero))[0] for row in tokens]
    head = model.embed_tokens if model.config.tied_embeddings else model.lm_head
    return ReferenceOutputs(
        tokens=tokens, hidden=torch.stack(hidden), head=head.weight,
        softcap=model.config.final_softcap,
    )  # fmt: skip


@torch.inference_mode()
def divergence(reference: ReferenceOutputs, model: GemmaModel) -> Divergence:
    """Judges `model` on the reference's text."""
    outputs = reference_outputs(model, reference.tokens)
    kl, surprise = [], []  # surprise: [model, reference] of each sequence
    for p, q, tokens in zip(reference.hidden, outputs.hidden, reference.tokens, strict=True):
        sequence_kl, logprobs = _compare(
            (p[:-1], reference.head), (q[:-1], outputs.head), tokens[1:], reference.softcap
        )
        kl.append(sequence_kl.mean())
        surprise.append(-logprobs.mean(dim=1))
    of_model, of_reference = torch.stack(surprise, dim=1)
    return Divergence(kl=torch.stack(kl), surprise=of_model, reference_surprise=of_reference)


# Hidden states [positions, hidden] and the head [vocabulary, hidden].
_Output = tuple[torch.Tensor, torch.Tensor]


def _compare(
    p: _Output, q: _Output, following: torch.Tensor, softcap: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """KL of q from p: float64 [positions]; log Q and log P of the following token: [2, positions].

    One pass over blocks of the vocabulary. With a, b the logits and A, B the logarithms of the sums
    of their exponentials, KL = sum(exp(a - A) (a - b)) - A + B.
    """
    positions, vocabulary = len(following), p[1].shape[0]
    sums = _RunningSums(positions)
    chosen = torch.zeros((2, positions), dtype=torch.float64)  # logits of the following token
    for start in range(0, vocabulary, _VOCABULARY_BLOCK):
        stop = min(vocabulary, start + _VOCABULARY_BLOCK)
        a, b = (_logits(hidden, head[start:stop], softcap) for hidden, head in (p, q))
        inside = (following >= start) & (following < stop)
        index = (following - start).clamp(0, stop - start - 1)[:, None]
        chosen += torch.where(inside, torch.stack([x.gather(1, index)[:, 0] for x in (b, a)]), 0.0)
        sums.add(a, b)
    log_a, log_b, weighted = sums.result()
    return weighted - log_a + log_b, chosen - torch.stack([log_b, log_a])


class _RunningSums:
    """log sum exp(a), log sum exp(b) and the mean of a - b under exp(a), block by block."""

    def __init__(self, positions: int) -> None:
        self._top = torch.full((2, positions, 1), -torch.inf)
        self._sum = torch.zeros((2, positions), dtype=torch.float64)
        self._weighted = torch.zeros(positions, dtype=torch.float64)

    def add(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """a, b: float32 [positions, block]; a is overwritten."""
        top = torch.maximum(self._top, torch.stack([x.amax(1, keepdim=True) for x in (a, b)]))
        shrink = (self._top - top)[..., 0].double().exp()
        difference = a - b
        a = a.sub_(top[0]).exp_()
        b_sum = (b - top[1]).exp_().sum(dim=1)
        self._sum = self._sum * shrink + torch.stack([a.sum(dim=1), b_sum])
        self._weighted = self._weighted * shrink[0] + a.mul_(difference).sum(dim=1)
        self._top = top

    def result(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        log_a, log_b = self._top[..., 0].double() + self._sum.log()
        return log_a, log_b, self._weighted / self._sum[0]


def _logits(hidden: torch.Tensor, head: torch.Tensor, softcap: float | None) -> torch.Tensor:
    """float32 [positions, block] of the logits of a block of the vocabulary."""
    logits = hidden @ head.t()
    return logits if softcap is None else torch.tanh(logits / softcap) * softcap


def _standard_error(values: torch.Tensor) -> float:
    if len(values) < 2:
        return float("nan")
    return float(values.std() / len(values) ** 0.5)
