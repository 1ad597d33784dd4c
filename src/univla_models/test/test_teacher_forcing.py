import torch
from univla_models.teacher_forcing import IGNORED
from univla_models.teacher_forcing import teacher_forced

PROMPT = 'In: What action should the robot take to go?\nOut: <ACT_3><ACT_0><ACT_15><ACT_7></s>'


def test_padding_changes_nothing_and_states_are_those_of_the_codes(policy):
    ids = policy.tokenizer.encode(PROMPT)
    torch.manual_seed(0)
    pixels = torch.randn(1, 6, 224, 224)

    def run(padding):
        row = torch.tensor([ids + [32000] * padding])
        labels = torch.full_like(row, IGNORED)
        labels[0, len(ids) - 5 : len(ids)] = row[0, len(ids) - 5 : len(ids)]
        keep = torch.arange(row.shape[1])[None] < len(ids)
        return teacher_forced(policy.network, pixels, row, labels, keep)

    with torch.no_grad():
        short, padded = run(0), run(3)
        hidden = policy.network(pixels, torch.tensor([ids]))
    torch.testing.assert_close(short.loss, padded.loss)
    torch.testing.assert_close(short.latent, padded.latent)
    # The last five text tokens are four codes and the end; 256 patches stand before.
    torch.testing.assert_close(short.latent[0], hidden[0, -5:-1])
    torch.testing.assert_close(short.visual, hidden[:, :256])
    shares = torch.log_softmax(short.logits[0, -6:-1], dim=-1)
    picked = shares[torch.arange(5), torch.tensor(ids[-5:])]
    torch.testing.assert_close(short.loss, -picked.mean())
