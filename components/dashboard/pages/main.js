// The live page: connects its parts.

import { watch } from './live.js';
import { prepareForm } from './sell.js';
import { preferredLanguage, setLanguage } from './texts.js';
import { render, showFigures, showState, showTime } from './view.js';

setLanguage(preferredLanguage());
for (const button of document.querySelectorAll('[data-language]')) {
  button.addEventListener('click', () => {
    setLanguage(button.dataset.language, { keep: true });
    render();
  });
}
prepareForm();
render();
watch({ onFigures: showFigures, onTime: showTime, onState: showState });
// The charts are drawn for the width that they have.
addEventListener('resize', () => requestAnimationFrame(render));
