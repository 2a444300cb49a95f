"""Draft."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flambeau.models.embeddings import CategoryEmbedding, PiecewiseLinearEmbedding


class TabM(nn.Module):
    def __init__(self, number_features, cardinalities, outputs, *, members=32, width=256, depth=2, dropout=0.0, bins=32, embedding_width=16, full=False, one_hot_limit=64):
        super().__init__()
        self.numbers = PiecewiseLinearEmbedding(number_features, bins, embedding_width) if bins and number_features else None
        self.categories = CategoryEmbedding(cardinalities, one_hot_limit)
        flat = number_features * (embedding_width if self.numbers is not None else 1)
        inputs = flat + self.categories.width
        if self.numbers is not None:
            num = torch.randn(members, number_features).repeat_interleave(embedding_width, 1)
        else:
            num = torch.randint(0, 2, (members, number_features)).float()*2-1
        blocks=[num]
        for w, c in zip(self.categories.widths, cardinalities):
            r = torch.randn(members,1) if self.numbers is not None else (torch.randint(0,2,(members,1)).float()*2-1)
            blocks.append(r.expand(members, w))
        self.scales = nn.Parameter(torch.cat(blocks,1))
        sizes=[inputs]+[width]*depth
        self.layers = nn.ModuleList(nn.Linear(a,b) for a,b in zip(sizes, sizes[1:]))
        self.full=full
        if full:
            self.r = nn.ParameterList([nn.Parameter(torch.ones(members,a)) for a in sizes[1:-1]])
            self.s = nn.ParameterList([nn.Parameter(torch.ones(members,b)) for b in sizes[1:]])
            self.b = nn.ParameterList([nn.Parameter(l.bias.detach().expand(members,-1).clone()) for l in self.layers])
            for l in self.layers: l.bias=None
        self.dropout=dropout
        bound = 1/math.sqrt(width)
        self.head = nn.Parameter(torch.empty(members, width, outputs).uniform_(-bound,bound))
        self.head_bias = nn.Parameter(torch.empty(members, outputs).uniform_(-bound,bound))

    def forward(self, numbers, categories):
        x = self.numbers(numbers).flatten(1) if self.numbers is not None else numbers
        x = torch.cat([x, self.categories(categories)],1)
        dt = torch.get_autocast_dtype('cpu') if torch.is_autocast_enabled('cpu') else x.dtype
        x = x.to(dt).unsqueeze(1)*self.scales.to(dt)
        for i,l in enumerate(self.layers):
            if self.full:
                if i: x = x*self.r[i-1].to(dt)
                x = l(x)
                x = torch.addcmul(self.b[i].to(dt), x, self.s[i].to(dt))
            else:
                x = l(x)
            x = torch.relu(x)
            if self.dropout: x = nn.functional.dropout(x, self.dropout, self.training)
        # (batch, members, width) -> (batch, members, outputs)
        return (torch.bmm(x.transpose(0,1), self.head).transpose(0,1)+self.head_bias).float()
