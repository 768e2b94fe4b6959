"""Second opinion on VOC's average precision: the logic of ``voc_eval.py``, which everyone knows.

After Ross Girshick's and Bharath Hariharan's file of Fast/er R-CNN, with two changes: IoU = 0.5 is
enough (``>=``, as in VOCdevkit's VOCevaldet.m), and equal scores stay in order of pictures. Boxes
are given 1-based and inclusive, as VOC has them, and sides get VOC's "+1".
"""

from __future__ import annotations

import numpy as np

TO_VOC = np.array([1.0, 1.0, 0.0, 0.0])


def voc_ap(rec, prec, use_07_metric):
    if use_07_metric:
        ap = 0.0
        for t in np.arange(0.0, 1.1, 0.1):
            p = 0 if np.sum(rec >= t) == 0 else np.max(prec[rec >= t])
            ap = ap + p / 11.0
        return ap
    mrec = np.concatenate(([0.0], rec, [1.0]))
    mpre = np.concatenate(([0.0], prec, [0.0]))
    for i in range(mpre.size - 1, 0, -1):
        mpre[i - 1] = np.maximum(mpre[i - 1], mpre[i])
    i = np.where(mrec[1:] != mrec[:-1])[0]
    return np.sum((mrec[i + 1] - mrec[i]) * mpre[i + 1])


def voc_eval(answers, truths, class_id, use_07_metric, ovthresh=0.5):
    class_recs = []
    npos = 0
    for truth in truths:
        own = truth.class_ids == class_id
        bbox = truth.boxes_xyxy[own] + TO_VOC
        difficult = truth.difficult[own]
        class_recs.append({"bbox": bbox, "difficult": difficult, "det": [False] * len(bbox)})
        npos += np.sum(~difficult)
    if npos == 0:
        return float("nan")
    rows = [
        (picture, score, box + TO_VOC)
        for picture, found in enumerate(answers)
        for box, score, own in zip(
            found.boxes_xyxy, found.scores, found.class_ids == class_id, strict=True
        )
        if own
    ]
    rows.sort(key=lambda row: -row[1])
    tp = np.zeros(len(rows))
    fp = np.zeros(len(rows))
    for d, (picture, _, bb) in enumerate(rows):
        record = class_recs[picture]
        ovmax = -np.inf
        bbgt = record["bbox"]
        if bbgt.size > 0:
            ixmin = np.maximum(bbgt[:, 0], bb[0])
            iymin = np.maximum(bbgt[:, 1], bb[1])
            ixmax = np.minimum(bbgt[:, 2], bb[2])
            iymax = np.minimum(bbgt[:, 3], bb[3])
            iw = np.maximum(ixmax - ixmin + 1.0, 0.0)
            ih = np.maximum(iymax - iymin + 1.0, 0.0)
            inters = iw * ih
            uni = (
                (bb[2] - bb[0] + 1.0) * (bb[3] - bb[1] + 1.0)
                + (bbgt[:, 2] - bbgt[:, 0] + 1.0) * (bbgt[:, 3] - bbgt[:, 1] + 1.0)
                - inters
            )
            overlaps = inters / uni
            ovmax = np.max(overlaps)
            jmax = np.argmax(overlaps)
        if ovmax >= ovthresh:
            if not record["difficult"][jmax]:
                if not record["det"][jmax]:
                    tp[d] = 1.0
                    record["det"][jmax] = True
                else:
                    fp[d] = 1.0
        else:
            fp[d] = 1.0
    fp = np.cumsum(fp)
    tp = np.cumsum(tp)
    rec = tp / float(npos)
    prec = tp / np.maximum(tp + fp, np.finfo(np.float64).eps)
    return voc_ap(rec, prec, use_07_metric)
