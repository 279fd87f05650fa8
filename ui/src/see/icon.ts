/** The icon of everything here: a node of a cluster. */

import { LabIcon } from '@jupyterlab/ui-components';

const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M4 3h16a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1Zm1 2v4h14V5Zm2 1h2v2H7Zm3 0h2v2h-2Z"/>
  <path class="jp-icon3" fill="#616161" d="M4 13h16a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1Zm1 2v4h14v-4Zm2 1h2v2H7Zm3 0h2v2h-2Z"/>
</svg>`;

export const nodeIcon = new LabIcon({ name: '@remote-kernels/ui:node', svgstr: SVG });
