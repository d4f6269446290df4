"""Scenes of a video, as PySceneDetect finds them."""

from pathlib import Path

from api.jobs.preprocessing.recipe import Span
from api.jobs.preprocessing.videos import Tick

#: Seconds of the video that are looked through between two ticks.
_CHUNK_SECONDS = 5.0


def find_scenes(path: Path, threshold: float, min_seconds: float, tick: Tick) -> list[Span]:
    """The scenes in seconds, in order; one where nothing is cut. Raises ValueError, OSError."""
    # PySceneDetect is optional, and heavy with OpenCV.
    from scenedetect import ContentDetector, SceneManager, open_video  # noqa: PLC0415

    video = open_video(str(path), backend="pyav")
    fps = float(video.frame_rate)
    manager = SceneManager()
    manager.add_detector(ContentDetector(threshold=threshold, min_scene_len=max(1, int(min_seconds * fps))))
    chunk, at = max(1, int(_CHUNK_SECONDS * fps)), 0
    while manager.detect_scenes(video, duration=chunk):
        at += chunk
        tick(at / fps)
    found = manager.get_scene_list(start_in_scene=True)
    return [(float(begin.seconds), float(end.seconds)) for begin, end in found]
