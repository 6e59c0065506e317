/** SHOW FRONTENDS: this server, in Doris's columns. What it does not have is NULL. */
import { timeText } from '../../base/units.ts';
import { textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import type { SessionState } from '../session_state.ts';
import { VERSION } from '../version.ts';
import { type Listing, everyRow } from './listing.ts';

export interface FrontendsSource {
  readonly services: Pick<Services, 'clock' | 'startedMs' | 'catalog'>;
  /** Its variables know the host and the port. */
  readonly session: Pick<SessionState, 'variables'>;
}

export const FRONTENDS: Listing<FrontendsSource> = {
  columns: [
    'Name',
    'Host',
    'EditLogPort',
    'HttpPort',
    'QueryPort',
    'RpcPort',
    'ArrowFlightSqlPort',
    'Role',
    'IsMaster',
    'ClusterId',
    'Join',
    'Alive',
    'ReplayedJournalId',
    'LastStartTime',
    'LastHeartbeat',
    'IsHelper',
    'ErrMsg',
    'Version',
    'CurrentConnected',
  ].map(textColumn),
  likeColumns: ['Name', 'Host'],
  seen: everyRow,
  rows: ({ services, session }) => {
    const host = String(session.variables.get('hostname').value);
    const port = String(session.variables.get('port').value);
    const { clock, startedMs, catalog } = services;
    return [
      [
        `fe_${host}_${port}`,
        host,
        null,
        null,
        port,
        null,
        null,
        'FOLLOWER',
        'true',
        null,
        'true',
        'true',
        String(catalog.epoch),
        timeText(startedMs).slice(0, 19),
        timeText(clock.now()).slice(0, 19),
        'true',
        '',
        VERSION,
        'Yes',
      ],
    ];
  },
};
