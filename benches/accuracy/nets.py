"""The nets that `train.py` trains. Their inputs are bytes: pixels of 0..255, or numbers of characters."""

import torch
import torch.nn.functional as F
from torch import nn

import images
import text


def build(name):
    """The net of a file in `models/`, without its weights."""
    return {
        "letters_resnet": lambda: resnet(images.CLASSES),
        "letters_mobilenet": lambda: mobilenet(images.CLASSES),
        "text_gpt": lambda: GPT(text.LENGTH),
    }[name]()


class Scale(nn.Module):
    """From 0..255 to -1..1."""

    def forward(self, x):
        return x * (1 / 127.5) - 1


def conv_bn(cin, cout, kernel=3, stride=1, groups=1, act=nn.ReLU):
    layers = [nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, *([act()] if act else []))


def classifier(channels, classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class BasicBlock(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.body = nn.Sequential(conv_bn(cin, cout, stride=stride), conv_bn(cout, cout, act=None))
        same = cin == cout and stride == 1
        self.shortcut = nn.Identity() if same else conv_bn(cin, cout, 1, stride, act=None)

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


def resnet(classes):
    layers, cin = [Scale(), conv_bn(3, 24, stride=2)], 24
    for cout, stride in [(24, 1), (48, 2), (80, 2)]:
        layers += [BasicBlock(cin, cout, stride), BasicBlock(cout, cout, 1)]
        cin = cout
    return nn.Sequential(*layers, classifier(cin, classes))


class InvertedResidual(nn.Module):
    def __init__(self, cin, cout, stride=1):
        super().__init__()
        wide = 4 * cin
        self.body = nn.Sequential(
            conv_bn(cin, wide, 1, act=nn.ReLU6),
            conv_bn(wide, wide, 3, stride, groups=wide, act=nn.ReLU6),
            conv_bn(wide, cout, 1, act=None),
        )
        self.residual = cin == cout and stride == 1

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


def mobilenet(classes):
    layers, cin = [Scale(), conv_bn(3, 24, stride=2, act=nn.ReLU6)], 24
    for cout, stride in [(24, 1), (40, 2), (40, 1), (64, 2), (64, 1)]:
        layers.append(InvertedResidual(cin, cout, stride))
        cin = cout
    return nn.Sequential(*layers, conv_bn(cin, 192, 1, act=nn.ReLU6), classifier(192, classes))


class Attention(nn.Module):
    """Each position sees those before it. Sizes are read from the layers, so that a pruned `qkv` still runs."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        rows, length, _ = (int(n) if k else n for k, n in enumerate(x.shape))
        size = self.qkv.out_features // (3 * self.heads)
        q, k, v = self.qkv(x).reshape(rows, length, 3, self.heads, size).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-2, -1) * size**-0.5
        scores = scores + torch.full((length, length), -1e4, device=x.device).triu(1)
        out = scores.softmax(-1) @ v
        return self.proj(out.transpose(1, 2).reshape(rows, length, self.heads * size))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """A language model over bytes; gives the logits of each next byte."""

    def __init__(self, length, dim=96, depth=3, heads=4):
        super().__init__()
        self.embed = nn.Embedding(256, dim)
        self.place = nn.Parameter(0.02 * torch.randn(1, length, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 256)
        nn.init.normal_(self.embed.weight, std=0.02)

    def forward(self, tokens):
        x = self.embed(tokens) + self.place
        return self.head(self.norm(self.blocks(x)))
