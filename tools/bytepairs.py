"""Byte pair encoding, as Sources/CLedger and Sources/CPlatform/include/text.h read it."""
import collections


def pack(texts):
    """The packed texts, and the two symbols that each new one stands for."""
    seqs = [list(text) for text in texts]
    free = [b for b in range(1, 256) if not any(b in text for text in texts)]
    pairs = {}
    while free:
        counts = collections.Counter()
        for seq in seqs:
            last = None
            for pair in zip(seq, seq[1:]):
                if pair != last:
                    counts[pair] += 1
                last = pair if pair != last else None
        if not counts:
            break
        pair, count = max(counts.items(), key=lambda item: (item[1], item[0]))
        if count < 4:
            break
        symbol = free.pop()
        pairs[symbol] = pair
        for k, seq in enumerate(seqs):
            new, i = [], 0
            while i < len(seq):
                if i + 1 < len(seq) and (seq[i], seq[i + 1]) == pair:
                    new.append(symbol)
                    i += 2
                else:
                    new.append(seq[i])
                    i += 1
            seqs[k] = new
    return seqs, pairs
