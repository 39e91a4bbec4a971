"""A pretraining step of the tiny model in PyTorch, to hold sc-pretrain's against.

Random data in the shapes of the recipe's two parts, the model without its image tokenizer:
transformers' Llama for pictures to draw and for rows of an image with seven questions and a
description under a block mask, the losses, gradients, clipping and AdamW. Making the data and the
eye's loss, which sc-pretrain's step has too, are left out.

    pip install torch transformers
    python host/pretrain/benches/pytorch.py [STEPS]
"""

import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaModel

THREADS = 2
WIDTH, HEADS, WORDS, CODES, TOKENS = 96, 4, 64, 32, 16
# Pictures drawn and pictures judged in a step of each part.
PARTS = [(96, 24), (64, 32)]
CAPTION, QUESTIONS, QUESTION, DESCRIPTION = 15, 7, 11, 34
PREFIX = 4 + TOKENS
ROW = PREFIX + QUESTIONS * QUESTION + DESCRIPTION


def mlp(inputs, inside, outputs):
    return nn.Sequential(nn.Linear(inputs, inside), nn.GELU(), nn.Linear(inside, outputs))


class Block(nn.Module):
    """A block of SigLIP's tower."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = mlp(WIDTH, 2 * WIDTH, WIDTH)

    def forward(self, x):
        batch, patches, _ = x.shape
        heads = self.qkv(self.norm1(x)).view(batch, patches, 3, HEADS, WIDTH // HEADS)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(seen.transpose(1, 2).reshape(x.shape))
        return x + self.mlp(self.norm2(x))


class Tiny(nn.Module):
    """All of the tiny Janus but its image tokenizer."""

    def __init__(self):
        super().__init__()
        config = LlamaConfig(
            hidden_size=WIDTH,
            intermediate_size=256,
            num_hidden_layers=4,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            vocab_size=WORDS,
            max_position_embeddings=256,
            rms_norm_eps=1e-6,
            attn_implementation="sdpa",
        )
        self.llama = LlamaModel(config)
        self.patches = nn.Conv2d(3, WIDTH, 8, 8)
        self.positions = nn.Parameter(torch.randn(TOKENS, WIDTH) * 0.1)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.aligner = mlp(WIDTH, WIDTH, WIDTH)
        self.codes = nn.Embedding(CODES, 8)
        self.code_aligner = mlp(8, WIDTH, WIDTH)
        self.code_head = mlp(WIDTH, WIDTH, CODES)
        self.word_head = nn.Linear(WIDTH, WORDS, bias=False)

    def features(self, pixels):
        x = self.patches(pixels).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.aligner(self.norm(x))

    def drawing_loss(self, pictures):
        caption = torch.randint(8, WORDS, (pictures, CAPTION))
        image = torch.randint(0, CODES, (pictures, TOKENS))
        drawn = self.code_aligner(self.codes(image[:, :-1]))
        x = torch.cat([self.llama.embed_tokens(caption), drawn], 1)
        hidden = self.llama(inputs_embeds=x, use_cache=False).last_hidden_state
        logits = self.code_head(hidden[:, CAPTION - 1 :])
        return F.cross_entropy(logits.flatten(0, 1), image.flatten())

    def judging_loss(self, pictures, layout):
        mask, positions, predicted = layout
        features = self.features(torch.randn(pictures, 3, 32, 32))
        words = torch.randint(8, WORDS, (pictures, ROW))
        x = self.llama.embed_tokens(words)
        x = torch.cat([x[:, :3], features, x[:, 3 + TOKENS :]], 1)
        hidden = self.llama(
            inputs_embeds=x,
            attention_mask=mask.expand(pictures, 1, ROW, ROW),
            position_ids=positions.expand(pictures, ROW),
            use_cache=False,
        ).last_hidden_state
        logits = self.word_head(hidden[:, predicted - 1])
        return F.cross_entropy(logits.flatten(0, 1), words[:, predicted].flatten())


def layout():
    """Mask and positions of questions that share an image's row, and which words are predicted."""
    block, positions = torch.zeros(ROW, dtype=torch.long), torch.arange(ROW)
    predicted, at = [], PREFIX
    for number, length in enumerate([QUESTION] * QUESTIONS + [DESCRIPTION], 1):
        block[at : at + length] = number
        positions[at : at + length] = PREFIX + torch.arange(length)
        answer = 1 if number <= QUESTIONS else DESCRIPTION - 2
        predicted += range(at + length - answer, at + length)
        at += length
    seen = (block[None, :] == 0) | (block[None, :] == block[:, None])
    seen &= torch.ones(ROW, ROW, dtype=torch.bool).tril()
    mask = torch.where(seen, 0.0, float("-inf"))
    return mask[None, None], positions[None], torch.tensor(predicted)


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    model, parts = Tiny(), layout()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.98), weight_decay=0.01)

    def step(drawn, judged):
        (model.drawing_loss(drawn) + model.judging_loss(judged, parts)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    print(f"PyTorch {torch.__version__}, milliseconds a step")
    for part, sizes in enumerate(PARTS, 1):
        for _ in range(3):
            step(*sizes)
        times = []
        for _ in range(steps):
            began = time.perf_counter()
            step(*sizes)
            times.append((time.perf_counter() - began) * 1e3)
        print(f"part {part}: best {min(times):.1f}, median {statistics.median(times):.1f}")


main()
